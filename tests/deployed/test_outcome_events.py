"""Outcome events of the deployed template: they arrive on the bus, and what is not put raises an alarm."""

import json

import pytest
from cloud import Stack
from ec2_words import launch
from jsonschema import Draft202012Validator
from processes import ACCOUNT, ROOT, until

BUS = "outcomes"
OPTIONAL = {"HttpTokens": "optional"}


@pytest.fixture(scope="module")
def stack(cloud) -> Stack:
    """A stack with a bus, whose events a rule sends to a queue."""
    events, sqs = cloud.client("events"), cloud.client("sqs")
    events.create_event_bus(Name=BUS)
    url = sqs.create_queue(QueueName="outcomes")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["imds-enforcer"], "detail-type": ["Instance Metadata Options Outcome"]}
    events.put_rule(Name="outcomes", EventBusName=BUS, EventPattern=json.dumps(pattern))
    events.put_targets(Rule="outcomes", EventBusName=BUS, Targets=[{"Id": "queue", "Arn": arn}])
    stack = cloud.sam_deploy(OutcomeBus=BUS)
    stack.url = url
    return stack


def received(stack: Stack) -> dict[str, dict]:
    """The events that have arrived, by instance."""
    messages = stack.client("sqs").receive_message(QueueUrl=stack.url, MaxNumberOfMessages=10, VisibilityTimeout=0)
    events = [json.loads(message["Body"]) for message in messages.get("Messages", [])]
    return {event["detail"]["instanceId"]: event for event in events}


def test_each_change_and_each_new_problem_arrives_on_the_bus(stack):
    (denied,) = launch(stack.ec2, options=OPTIONAL)
    stack.cloud.sim.fault(action="ModifyInstanceMetadataOptions", instance=denied, kind="deny")
    (enforced,) = launch(stack.ec2, options=OPTIONAL)
    events = until("both events", lambda: len(found := received(stack)) == 2 and found)
    assert [events[i]["detail"]["outcome"] for i in (enforced, denied)] == ["enforced", "denied"]
    schema = json.loads((ROOT / "outcome-events" / "outcome.schema.json").read_text())
    for event in events.values():
        Draft202012Validator(schema).validate(event)
    event = events[enforced]
    assert (event["source"], event["account"]) == ("imds-enforcer", ACCOUNT)
    assert event["resources"] == [f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{enforced}"]
    lines = until("the log", lambda: [line for line in stack.outcomes(enforced) if line["outcome"] == "enforced"])
    of_log = {"timestamp", "level", "requestId"}
    assert event["detail"] == {"schemaVersion": 1} | {k: v for k, v in lines[0].items() if k not in of_log}
    assert not stack.points("OutcomeEventsAlarm")


def test_what_is_not_put_raises_the_alarm_and_the_instance_is_enforced(stack):
    lambdas, name = stack.client("lambda"), stack.outputs["EnforcerArn"]
    variables = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    # Nothing listens there.
    variables |= {"AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:9"}
    lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": variables})
    (instance,) = launch(stack.ec2, options=OPTIONAL)
    stack.wait_until_enforced(instance)
    until("the metric", lambda: stack.points("OutcomeEventsAlarm"))
    assert stack.alarm("OutcomeEventsAlarm")["StateValue"] == "ALARM"
    until("the log", lambda: stack.logged('"outcome events were not put"'))
