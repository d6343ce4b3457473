"""Templates as JSON, with their parameters and conditions filled in."""

import json
import os
import re
from pathlib import Path

NOTHING = {"Ref": "AWS::NoValue"}
# Where the stack is, for the tests.
PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "111122223333", "AWS::StackName": "s"}


def load(variable: str) -> dict:
    """The template as JSON that an environment variable names. A missing one is an error: no test is skipped."""
    return json.loads(Path(os.environ[variable]).read_text())


class Filled:
    """A template's resources for these parameters; those that are not given have their defaults."""

    def __init__(self, of: dict | None = None, /, region: str = "us-east-1", **parameters: str):
        self.template = of or load("TEMPLATE_JSON")
        known = self.template["Parameters"]
        assert parameters.keys() <= known.keys(), "known parameters"
        self.parameters = PSEUDO | {"AWS::Region": region}
        for name, parameter in known.items():
            value = parameters.get(name, str(parameter.get("Default", "")))
            self.parameters[name] = value.split(",") if parameter["Type"] == "CommaDelimitedList" else value
        made = {name: r for name, r in self.template["Resources"].items() if self.holds(r.get("Condition"))}
        self.resources = self.fill(made)

    def holds(self, condition) -> bool:
        """Whether a condition holds: none, a name, or a function of conditions."""
        if condition is None:
            return True
        if isinstance(condition, str):
            return self.holds(self.template["Conditions"][condition])
        ((function, arguments),) = condition.items()
        if function == "Condition":
            return self.holds(arguments)
        if function == "Fn::Not":
            return not self.holds(arguments[0])
        if function == "Fn::And":
            return all(map(self.holds, arguments))
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
        filled = {key: item for key, item in filled.items() if item != NOTHING}
        return self.called(filled)

    def called(self, value: dict):
        """What an intrinsic function of plain values gives; anything else as it is."""
        match value:
            case {"Fn::Join": [str(separator), list(items)]} if all(isinstance(item, str) for item in items):
                return separator.join(items)
            case {"Fn::FindInMap": [str(name), str(key), str(attribute)]}:
                return self.template["Mappings"][name][key][attribute]
            case {"Fn::Split": [str(separator), str(text)]}:
                return text.split(separator)
            case {"Fn::Select": [index, list(items)]}:
                return items[int(index)]
            case {"Fn::Sub": [str(text), dict(more)]} if all(isinstance(item, str) for item in more.values()):
                for name, item in more.items():
                    text = text.replace(f"${{{name}}}", item)
                return self.called({"Fn::Sub": text})
            case {"Fn::Sub": str(text)}:
                text = re.sub(r"\$\{([\w:]+)\}", lambda m: str(self.parameters.get(m[1], m[0])), text)
                return {"Fn::Sub": text} if "${" in text else text
        return value

    def of_type(self, kind: str) -> dict[str, dict]:
        """The properties of all resources of this type, by name."""
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def attribute(name: str, attribute: str = "Arn") -> dict:
    return {"Fn::GetAtt": [name, attribute]}
