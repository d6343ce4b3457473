"""The schema of outcome events and its examples, by a validator that nobody here wrote."""

import copy
import json

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from processes import ROOT

FOLDER = ROOT / "outcome-events"
SCHEMA = json.loads((FOLDER / "outcome.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
EXAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "examples").glob("*.json"))}


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(SCHEMA)
    assert {"date-time", "date"} <= FormatChecker().checkers.keys(), "formats are checked"


def unknown(value, schema: dict, path: str = "") -> list[str]:
    """The fields of a value that the schema does not have."""
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if not isinstance(value, dict):
        return []
    known = schema.get("properties", {})
    found = [f"{path}.{key}" for key in value if key not in known]
    return found + [each for key in value if key in known for each in unknown(value[key], known[key], f"{path}.{key}")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_valid_and_have_no_unknown_field(name):
    event = EXAMPLES[name]
    VALIDATOR.validate(event)
    assert unknown(event, SCHEMA) == []
    detail = event["detail"]
    assert detail["outcome"] == name
    assert event["resources"] == [f"arn:aws:ec2:{detail['region']}:{detail['account']}:instance/{detail['instanceId']}"]


def test_every_field_has_an_example():
    shown = {field for event in EXAMPLES.values() for field in event["detail"]}
    assert shown == SCHEMA["$defs"]["detail"]["properties"].keys()


def changed(path: str, value) -> dict:
    event = copy.deepcopy(EXAMPLES["in-use"])
    *parents, last = path.split(".")
    place = event
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return event


def test_later_fields_are_allowed():
    for path in ("detail.later", "detail.usage.later", "detail.before.HttpLater", "later"):
        VALIDATOR.validate(changed(path, "x"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("source", "other"),
        ("detail-type", "Sweep"),
        ("resources", []),
        ("time", "yesterday"),
        ("detail", None),
        ("detail.schemaVersion", 2),
        ("detail.schemaVersion", "1"),
        ("detail.account", "1111"),
        ("detail.instanceId", "i-XYZ"),
        ("detail.outcome", "compliant"),
        ("detail.trigger", "restart"),
        ("detail.mode", None),
        ("detail.reasons", "text"),
        ("detail.warnings", None),
        ("detail.usage.calls", "1204"),
        ("detail.usage.lastDay", "23 November"),
        ("detail.source.id", None),
        ("detail.state", "stored"),
        ("detail.before.HttpTokens", "none"),
        ("detail.before.HttpPutResponseHopLimit", 65),
    ],
)
def test_what_is_no_outcome_event(path, value):
    assert not VALIDATOR.is_valid(changed(path, value))
