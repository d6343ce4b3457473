"""The recipes for outcome events: deployed as docs/outcome-events.md says, and given the example events."""

import json
import os
from datetime import datetime, timedelta, timezone

import pytest
import sample_events
from botocore.session import Session
from botocore.validate import ParamValidator
from cloud import Stack
from ec2_words import launch
from jsonschema import Draft202012Validator
from processes import ACCOUNT, REGION, Function, until
from recipes import ARN, BUS, FOLDER, HOSTILE, Server, deploy, is_empty, put, queue, received

IMPORTED = {"FailedCount": 0, "SuccessCount": 1, "FailedFindings": []}


@pytest.fixture(scope="module")
def security_hub():
    server = Server(IMPORTED)
    os.environ["SECURITY_HUB_URL"] = server.url
    yield server
    del os.environ["SECURITY_HUB_URL"]
    server.server.shutdown()


@pytest.fixture(scope="module")
def cloud(security_hub, cloud):
    """Security Hub starts first, so that ministack knows its URL."""
    return cloud


@pytest.fixture(scope="module")
def bus(cloud):
    cloud.client("events").create_event_bus(Name=BUS)


@pytest.fixture(scope="module")
def messages(cloud, bus):
    """The queue that subscribes to the topic of the recipe."""
    topic = cloud.client("sns").create_topic(Name="security")["TopicArn"]
    url = queue(cloud, "messages")
    arn = ARN.format("sqs", "messages")
    raw = {"RawMessageDelivery": "true"}
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
    deploy(cloud, "Messages by SNS", "imds-outcomes-sns")
    return url


@pytest.mark.parametrize("name", ["blocked", "denied", "exempt", "in-use"])
def test_a_message_says_what_happened_to_which_instance_and_why(cloud, messages, name):
    detail = put(cloud, name)
    text = received(cloud, messages, f"Instance metadata options of {detail['instanceId']}: {name}")
    message = json.loads(text)
    assert message["instance"] == f"{detail['instanceId']} in account {detail['account']}, {detail['region']}"
    assert (message["reasons"], message["warnings"]) == (detail["reasons"], detail["warnings"])
    assert text.count("\n") == 6, "a line for each field"


def test_there_is_no_message_of_a_change_by_default(cloud, messages):
    detail = put(cloud, "enforced")
    received(cloud, messages, put(cloud, "blocked")["instanceId"], never=detail["instanceId"])


def test_hostile_text_is_text_in_a_message(cloud, messages):
    detail = put(cloud, "blocked", reasons=[HOSTILE, '"'], warnings=[HOSTILE])
    message = json.loads(received(cloud, messages, detail["instanceId"]))
    assert (message["reasons"], message["warnings"]) == ([HOSTILE, '"'], [HOSTILE])
    assert message.keys() == {"message", "instance", "reasons", "warnings", "found"}


@pytest.fixture(scope="module")
def tickets(cloud, bus, tmp_path_factory):
    """The ticket system. EventBridge requires HTTPS, and ministack does not trust a certificate of a test."""
    server = Server({})
    secret = json.dumps({"apiKey": "k-1234"})
    cloud.client("secretsmanager").create_secret(Name="ticket-system", SecretString=secret)
    template = (FOLDER / "recipes" / "ticket.yaml").read_text()
    copy = tmp_path_factory.mktemp("recipe") / "ticket.yaml"
    copy.write_text(template.replace("^https://", "^http://"))
    instead = {
        "https://tickets.example.com/api/tickets": f"{server.url}/api/tickets",
        "outcome-events/recipes/ticket.yaml": str(copy),
    }
    deploy(cloud, "Tickets", "imds-outcomes-tickets", instead)
    yield server
    server.server.shutdown()


def ticket(tickets, instance_id: str) -> tuple[str, dict, str]:
    return until("a ticket", lambda: next((r for r in tickets.requests if instance_id in r[2]), None))


@pytest.mark.parametrize("name", ["blocked", "denied", "exempt"])
def test_a_ticket_is_requested_with_the_key(cloud, tickets, name):
    detail = put(cloud, name)
    path, headers, body = ticket(tickets, detail["instanceId"])
    assert (path, headers["X-Api-Key"]) == ("/api/tickets", "k-1234")
    assert headers["Content-Type"].startswith("application/json")
    found = json.loads(body)
    assert found["title"] == f"Instance metadata options of {detail['instanceId']}: {name}"
    assert detail["account"] in found["description"]
    assert found["reasons"] == detail["reasons"]


def test_hostile_text_is_text_in_a_ticket_and_changes_open_none(cloud, tickets):
    put(cloud, "enforced")
    put(cloud, "in-use")
    before = len(tickets.requests)
    detail = put(cloud, "denied", reasons=[HOSTILE, '"'])
    found = json.loads(ticket(tickets, detail["instanceId"])[2])
    assert found["reasons"] == [HOSTILE, '"']
    assert found.keys() == {"title", "description", "reasons", "warnings", "key"}
    assert len(tickets.requests) == before + 1


@pytest.fixture(scope="module")
def findings(cloud, bus):
    return deploy(cloud, "Findings in Security Hub", "imds-outcomes-security-hub")


def finding(hub: Server, instance_id: str, count: int = 1) -> dict:
    """The finding of the last of so many calls about the instance. botocore's model of the call validates it."""

    def calls():
        return [body for _, _, body in hub.requests if instance_id in body]

    until("findings", lambda: len(calls()) >= count)
    assert len(calls()) == count
    given = json.loads(calls()[-1])
    operation = Session().get_service_model("securityhub").operation_model("BatchImportFindings")
    report = ParamValidator().validate(given, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    (found,) = given["Findings"]
    return found


def executions(stack: Stack, status: str) -> list[str]:
    arn = stack.outputs["StateMachineArn"]
    found = stack.client("stepfunctions").list_executions(stateMachineArn=arn, statusFilter=status)
    return [execution["executionArn"] for execution in found["executions"]]


@pytest.mark.parametrize("name", ["blocked", "denied", "in-use", "enforced"])
def test_a_finding_is_of_the_instance(cloud, findings, security_hub, name):
    detail = put(cloud, name)
    found = finding(security_hub, detail["instanceId"])
    arn = f"arn:aws:ec2:{detail['region']}:{detail['account']}:instance/{detail['instanceId']}"
    assert (found["Id"], found["AwsAccountId"]) == (f"imds-enforcer/{arn}", ACCOUNT)
    assert found["ProductArn"] == ARN.format("securityhub", f"product/{ACCOUNT}/default")
    resource = {"Type": "AwsEc2Instance", "Id": arn, "Partition": "aws", "Region": detail["region"]}
    assert found["Resources"] == [resource]
    expected = ("PASSED", "ARCHIVED") if name == "enforced" else ("FAILED", "ACTIVE")
    assert (found["Compliance"]["Status"], found["RecordState"]) == expected
    assert found["Description"] == "\n".join([f"Outcome {name} in mode enforce.", *detail["reasons"]])
    until("the execution ended", lambda: executions(findings, "SUCCEEDED") and not executions(findings, "RUNNING"))


def test_a_later_event_updates_the_finding_and_exemptions_are_none(cloud, findings, security_hub):
    detail = put(cloud, "blocked")
    first = finding(security_hub, detail["instanceId"])
    put(cloud, "exempt", instanceId=detail["instanceId"])
    put(cloud, "enforced", instanceId=detail["instanceId"], account=detail["account"])
    second = finding(security_hub, detail["instanceId"], 2)
    assert (first["Id"], first["RecordState"], second["RecordState"]) == (second["Id"], "ACTIVE", "ARCHIVED")
    assert second["UpdatedAt"] >= first["UpdatedAt"]


def test_hostile_and_long_text_is_text_in_a_finding(cloud, findings, security_hub):
    detail = put(cloud, "denied", reasons=[HOSTILE, "x" * 2000])
    found = finding(security_hub, detail["instanceId"])
    assert HOSTILE in found["Description"]
    assert len(found["Description"]) == 1024


def kept(cloud, stack: Stack, detail: dict) -> dict:
    return json.loads(received(cloud, stack.outputs["DeadLettersUrl"], detail["instanceId"]))


def test_a_throttle_is_retried(cloud, findings, security_hub):
    throttle = (429, {"message": "Rate exceeded"}, "TooManyRequestsException")
    security_hub.answers[:] = [throttle, throttle]
    detail = put(cloud, "blocked")
    until("three calls", lambda: sum(detail["instanceId"] in body for _, _, body in security_hub.requests) == 3, 20)
    assert is_empty(cloud, findings.outputs["DeadLettersUrl"])


def test_a_finding_that_is_refused_is_kept_and_fails_the_execution(cloud, findings, security_hub):
    refused = {"FailedCount": 1, "SuccessCount": 0, "FailedFindings": [{"Id": "x", "ErrorCode": "InvalidInput"}]}
    denied = (403, {"Message": "not authorized", "Code": "AccessDenied"}, "AccessDeniedException")
    before = len(executions(findings, "FAILED"))
    security_hub.answers[:] = [(200, refused, "")]
    detail = put(cloud, "blocked")
    message = kept(cloud, findings, detail)
    assert (message["event"]["detail"], message["why"]["FailedCount"]) == (detail, 1)
    security_hub.answers[:] = [denied]
    detail = put(cloud, "denied")
    message = kept(cloud, findings, detail)
    assert (message["event"]["detail"], message["why"]["Error"]) == (detail, "SecurityHub.AccessDeniedException")
    until("two failed", lambda: len(executions(findings, "FAILED")) == before + 2)


@pytest.fixture
def told(cloud, bus):
    """Returns the event that tells of an instance. A rule passes every event on."""
    url = queue(cloud, "all")
    events = cloud.client("events")
    events.put_rule(Name="all", EventBusName=BUS, EventPattern=json.dumps({"source": ["imds-enforcer"]}))
    events.put_targets(Rule="all", EventBusName=BUS, Targets=[{"Id": "all", "Arn": ARN.format("sqs", "all")}])
    return lambda instance_id: json.loads(received(cloud, url, instance_id))


def test_what_the_function_puts_is_as_the_schema_says_and_reaches_people(cloud, messages, told, tmp_path):
    last = (datetime.now(timezone.utc) + timedelta(days=3)).date().isoformat()
    # A rule's name is text of the policy; an event has it in its reasons.
    rule = {"name": 'vendor "</b>', "when": {"tags": {"aws:autoscaling:groupName": "old"}}, "exempt": {"until": last}}
    policy = {"baseline": {"HttpTokens": "required"}, "usageGate": {}, "rules": [rule]}
    variables = {"IMDS_POLICY_FILE": "", "IMDS_POLICY": json.dumps(policy), "IMDS_OUTCOME_BUS": BUS}
    function = Function(tmp_path, cloud.sim.url, AWS_ENDPOINT_URL_EVENTBRIDGE=cloud.ministack.url, **variables)
    schema = json.loads((FOLDER / "outcome.schema.json").read_text())
    old = {"region": REGION, "firstRan": 90 * 86400, "tags": {"aws:autoscaling:groupName": "old"}}
    named = {
        "enforced": launch(cloud.client("ec2"), options={"HttpTokens": "optional"}),
        "exempt": cloud.sim.control("POST", "instances", old)["instanceIds"],
        # CloudWatch has nothing about it.
        "in-use": cloud.sim.ran_before(days=90, count=1, HttpTokens="optional"),
    }
    try:
        for outcome, ids in named.items():
            sample = "ec2-launch-one" if outcome == "enforced" else "ec2-state-running"
            (reported,) = function.invoke(sample_events.about(sample, ids))["outcomes"]
            assert reported["outcome"] == outcome
            event = told(ids[0])
            Draft202012Validator(schema).validate(event)
            assert event["detail"] == {"schemaVersion": 1} | reported
            assert event["detail"].keys() <= schema["$defs"]["detail"]["properties"].keys()
            assert event["resources"] == [ARN.format("ec2", f"instance/{ids[0]}")]
            if outcome != "enforced":
                assert json.loads(received(cloud, messages, ids[0]))["reasons"] == reported["reasons"]
    finally:
        function.stop()
