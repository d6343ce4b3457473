"""Metrics as the function writes them: valid in CloudWatch's embedded metric format."""

import json

import jsonschema
from processes import program


def published_schema() -> dict:
    """The JSON Schema of the format, as AWS's Powertools for Lambda carry it."""
    return json.loads(program("EMF_SCHEMA", "the JSON Schema of the embedded metric format").read_text())


def test_every_document_is_valid_and_has_what_it_names(written):
    validator = jsonschema.Draft202012Validator(published_schema())
    assert len(written.documents) > 20
    for document in written.documents:
        validator.validate(document)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            named = {name for dimensions in directive["Dimensions"] for name in dimensions}
            assert all(isinstance(document[name], str) for name in named), document
            assert not named & {"account", "region", "instanceId"}, "each value of a dimension is paid for"
            for metric in directive["Metrics"]:
                value = document[metric["Name"]]
                values = value if isinstance(value, list) else [value]
                assert 1 <= len(values) <= 100 and all(isinstance(v, (int, float)) for v in values), document


def test_every_outcome_is_counted(written):
    counted = {name for name, _ in written.names}
    outcomes = {"Enforced", "Compliant", "WouldEnforce", "Exempt", "OutOfScope", "Blocked", "Denied", "Gone"}
    outcomes |= {"Pending", "NotReady", "Throttled", "Unreachable", "Failed"}
    others = {"Warnings", "PendingTooLong", "ExemptionsEnding", "LaunchToApplied", "Calls", "Throttles", "SweepsDone"}
    assert counted == outcomes | others
