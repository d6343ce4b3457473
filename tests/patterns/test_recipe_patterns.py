"""Which outcome events the recipes and the patterns of docs/outcome-events.md let through, by LocalStack's matcher."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from localstack.services.events.event_rule_engine import EventPatternCompiler, EventRuleEngine

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "outcome-events"
EXAMPLES = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "examples").glob("*.json")}
# As denied, with another outcome.
OTHERS = ("failed", "pending", "not-ready", "throttled", "unreachable", "gone")
EVENTS = EXAMPLES | {name: copy.deepcopy(EXAMPLES["denied"]) for name in OTHERS}
for outcome in OTHERS:
    EVENTS[outcome]["detail"]["outcome"] = outcome
# A change that is pending is mostly applied soon, without a further event. What is gone needs nobody.
EXPECTED = {
    "sns": EVENTS.keys() - {"pending", "gone", "enforced"},
    "ticket": EVENTS.keys() - {"pending", "gone", "enforced", "in-use"},
    "security-hub": EVENTS.keys() - {"pending", "gone", "exempt"},
}


class Template(yaml.SafeLoader):
    """Reads a template. Its functions become objects with one key."""


Template.add_multi_constructor(
    "!",
    lambda loader, tag, node: {
        tag: loader.construct_scalar(node)
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node, deep=True)
    },
)


def matches(pattern: dict, event: dict) -> bool:
    compiled = EventPatternCompiler().compile_event_pattern(json.dumps(pattern))
    return EventRuleEngine().evaluate_pattern_on_event(compiled, event)


def pattern_of(recipe: str, outcomes: str = "") -> dict:
    """The pattern of a recipe's rule, with the default outcomes or these."""
    template = yaml.load((FOLDER / "recipes" / f"{recipe}.yaml").read_text(), Template)
    (rule,) = (each for each in template["Resources"].values() if each["Type"] == "AWS::Events::Rule")
    assert rule["Properties"]["EventBusName"] == {"Ref": "EventBusName"}
    pattern = rule["Properties"]["EventPattern"]
    assert pattern["detail"] == {"outcome": {"Ref": "Outcomes"}}
    outcomes = outcomes or template["Parameters"]["Outcomes"]["Default"]
    return pattern | {"detail": {"outcome": outcomes.split(",")}}


def test_every_recipe_has_a_row():
    assert {path.stem for path in (FOLDER / "recipes").iterdir()} == EXPECTED.keys()
    schema = json.loads((FOLDER / "outcome.schema.json").read_text())
    assert set(schema["$defs"]["detail"]["properties"]["outcome"]["enum"]) == EVENTS.keys()


@pytest.mark.parametrize("recipe", EXPECTED)
def test_a_recipe_chooses_outcomes(recipe):
    pattern = pattern_of(recipe)
    assert {name for name, event in EVENTS.items() if matches(pattern, event)} == EXPECTED[recipe]
    only = pattern_of(recipe, "enforced,blocked")
    assert {name for name, event in EVENTS.items() if matches(only, event)} == {"enforced", "blocked"}


@pytest.mark.parametrize("recipe", EXPECTED)
def test_a_recipe_passes_on_no_other_event(recipe):
    for change in ({"source": "imds"}, {"detail-type": "Sweep"}, {"detail": {}}, {"source": "aws.ec2"}):
        assert not matches(pattern_of(recipe), EVENTS["blocked"] | change), change


def documented() -> list[dict]:
    """The patterns of the page: the whole one, and that with each condition of the table for the detail."""
    section = (ROOT / "docs" / "outcome-events.md").read_text().split("\n## Choose events\n")[1].split("\n## ")[0]
    whole = json.loads("".join(re.findall(r"^ {4}(.*)$", section, re.MULTILINE)))
    conditions = re.findall(r"^\| .* \| `(.*)` \|$", section, re.MULTILINE)
    return [whole, *(whole | {"detail": json.loads(f"{{{condition}}}")} for condition in conditions)]


def test_the_patterns_of_the_page_choose_what_they_say():
    warned = copy.deepcopy(EVENTS["blocked"])
    warned["detail"] |= {"warnings": ["w"], "mode": "dry-run"}
    events = {name: EXAMPLES[name] for name in ("enforced", "blocked", "denied", "in-use", "exempt")}
    found = [
        {name for name, event in (events | {"warned": warned}).items() if matches(pattern, event)}
        for pattern in documented()
    ]
    assert found == [{"denied"}, {"enforced"}, {"in-use"}, {"in-use"}, {"warned"}, events.keys()]
