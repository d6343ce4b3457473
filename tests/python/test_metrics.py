"""Metrics as the function writes them: valid in CloudWatch's embedded metric format."""

import json

import jsonschema
from processes import program


def published_schema() -> dict:
    """The JSON Schema of the format, as AWS's Powertools for Lambda carry it, and as AWS has changed it since.

    Today's specification in CloudWatch's guide says that a dimension set "MAY be empty" and has 30 dimensions at most.
    """
    schema = json.loads(program("EMF_SCHEMA", "the JSON Schema of the embedded metric format").read_text())
    metadata = schema["properties"]["_aws"]["properties"]
    dimension_set = metadata["CloudWatchMetrics"]["items"]["properties"]["Dimensions"]["items"]
    dimension_set |= {"minItems": 0, "maxItems": 30}
    return schema


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
    outcomes |= {"InUse", "Deferred", "Pending", "NotReady", "Throttled", "Unreachable", "Failed"}
    others = {"Warnings", "PendingTooLong", "ExemptionsEnding", "OldestExemptionDays", "LaunchToApplied", "SweepsDone"}
    others |= {"UnreadableEvents", "RejectedCalls", "SweepsStopped", "GateEnding", "OutcomeEventsFailed"}
    assert counted == outcomes | others | {"Calls", "Throttles", "ThrottledShare"}


def test_each_metric_has_the_dimension_sets_that_are_looked_at_and_no_more(written):
    by_mode = {("Mode",), ("Mode", "Trigger")}
    of_calls = {("Mode",), ("Call", "Mode")}
    expected = {
        "Blocked": by_mode | {(), ("Trigger",)},
        "Denied": by_mode | {()},
        "Failed": by_mode | {()},
        "SweepsDone": {(), ("Mode",)},
        "RejectedCalls": {(), ("Mode",)},
        "SweepsStopped": {(), ("Mode",)},
        "GateEnding": {(), ("Mode",)},
        "ThrottledShare": {()},
        "UnreadableEvents": {()},
        "OutcomeEventsFailed": {()},
        "Calls": of_calls,
        "Throttles": of_calls,
    }
    found = {}
    for name, dimensions in written.names:
        found.setdefault(name, set()).add(tuple(sorted(key for key, _ in dimensions)))
    assert found == {name: expected.get(name, by_mode) for name in found}
