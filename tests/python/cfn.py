"""The template as JSON, with its parameters and conditions filled in."""

import json
import os
from pathlib import Path

NOTHING = {"Ref": "AWS::NoValue"}


def template() -> dict:
    """What TEMPLATE_JSON names. Missing, it is an error: no test is skipped."""
    return json.loads(Path(os.environ["TEMPLATE_JSON"]).read_text())


class Filled:
    """A template's resources for these parameters; those that are not given have their defaults."""

    def __init__(self, of: dict | None = None, /, **parameters: str):
        self.template = of or template()
        defaults = {name: str(p.get("Default", "")) for name, p in self.template["Parameters"].items()}
        assert parameters.keys() <= defaults.keys(), "known parameters"
        self.parameters = defaults | parameters
        self.resources = self.fill(self.template["Resources"])

    def holds(self, condition) -> bool:
        """Whether a condition holds: a name, or Fn::Equals and Fn::Not."""
        if isinstance(condition, str):
            return self.holds(self.template["Conditions"][condition])
        ((function, arguments),) = condition.items()
        if function == "Fn::Not":
            return not self.holds(arguments[0])
        assert function == "Fn::Equals", function
        left, right = (self.fill(argument) for argument in arguments)
        return left == right

    def fill(self, value):
        """The value with parameters and conditions resolved; references to resources stay."""
        if isinstance(value, list):
            return [item for item in map(self.fill, value) if item != NOTHING]
        if not isinstance(value, dict):
            return value
        if "Fn::If" in value:
            condition, then, otherwise = value["Fn::If"]
            return self.fill(then if self.holds(condition) else otherwise)
        if value.keys() == {"Ref"} and value["Ref"] in self.parameters:
            return self.parameters[value["Ref"]]
        filled = {key: self.fill(item) for key, item in value.items()}
        return {key: item for key, item in filled.items() if item != NOTHING}

    def of_type(self, kind: str) -> dict[str, dict]:
        """The properties of all resources of this type, by name."""
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def attribute(name: str, attribute: str = "Arn") -> dict:
    return {"Fn::GetAtt": [name, attribute]}
