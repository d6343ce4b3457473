"""The release build of the function under the Lambda Runtime Interface Emulator."""

import json
import re
import time
from collections import Counter

import pytest
import requests
import sample_events
from conftest import SESSION, ec2_client
from ec2_words import IMAGE, NO_INSTANCE, describe, launch, options, running, wait_for_state
from processes import ACCOUNT, REGION, Function, until

# The result of each file of events/: the trigger and the number of enforced instances, or why it is ignored.
EXPECTED = {
    "ec2-launch-one": ("launch", 1),
    "ec2-launch-many": ("launch", 20),
    "ec2-launch-auto-scaling": ("launch", 1),
    "ec2-launch-cut-off": ("launch", 3),
    "ec2-launch-failed": 'the call failed with "Client.UnauthorizedOperation"',
    "ec2-modify-options": ("drift", 1),
    "ec2-state-running": ("state-change", 1),
    "ec2-state-stopped": ("state-change", 1),
    "ec2-state-terminated": 'the state "terminated" requires no action',
    "s3-unrelated": 'source "aws.s3" with detail-type "Object Created" is not handled',
    "sqs-batch": ("batch", 2),
    "tag-change": ("tag-change", 1),
    "tag-change-unread": "the policy reads none of the changed tags",
}
# These name no instances: they apply to all instances.
SWEEPS = ["events-scheduled", "imds-enforcer-sweep", "imds-enforcer-sweep-watch"]
MODIFY, DESCRIBE = "ModifyInstanceMetadataOptions", "DescribeInstances"


def imdsv1(ec2, name: str, count: int, image: str = IMAGE) -> list[str]:
    """Launches instances with optional tokens, as many as the event names, in the event's state."""
    more = {}
    if name == "ec2-launch-cut-off":
        # CloudTrail truncated the IDs: the client token identifies the instances.
        more["ClientToken"] = sample_events.about(name, [])["detail"]["requestParameters"]["clientToken"]
    ids = launch(ec2, count, options={"HttpTokens": "optional"}, ImageId=image, **more)
    for instance_id in ids:
        wait_for_state(ec2, instance_id, "running")
    if name == "ec2-state-stopped":
        ec2.stop_instances(InstanceIds=ids)
        for instance_id in ids:
            wait_for_state(ec2, instance_id, "stopped")
    return ids


def check_answer(name: str, answer: dict, ids: list[str]):
    expected = EXPECTED[name]
    if isinstance(expected, str):
        assert answer == {"mode": "enforce", "counts": {}, "outcomes": [], "ignored": [expected]}
        return
    trigger, count = expected
    if trigger == "batch":
        assert answer == {"batchItemFailures": []}
        return
    assert (answer.get("mode"), answer.get("counts")) == ("enforce", {"enforced": count}), answer
    assert sorted(outcome["instanceId"] for outcome in answer["outcomes"]) == sorted(ids)
    for outcome in answer["outcomes"]:
        assert outcome["trigger"] == trigger
        assert outcome["outcome"] == "enforced"
        assert (outcome["account"], outcome["region"]) == ("111122223333", "us-east-1")
        assert outcome["before"]["HttpTokens"] == "optional"
        assert outcome["change"] == {"HttpTokens": "required"}
        assert outcome["reasons"] == ["baseline requires HttpTokens=required"]
        assert outcome["warnings"] == []


def instances_of(name: str) -> int:
    """How many instances are launched for the event."""
    expected = EXPECTED[name]
    return len(sample_events.ids(name)) if isinstance(expected, str) else expected[1]


def told_of(name: str, ids: list[str]) -> dict:
    return sample_events.about(name, ids if sample_events.ids(name) else [])


def test_every_file_of_events_has_its_row():
    assert sample_events.names() == sorted([*EXPECTED, *SWEEPS])


@pytest.mark.parametrize("name", EXPECTED)
def test_events_against_ec2_sim(sim, ec2, function, name):
    ids = imdsv1(ec2, name, instances_of(name)) if instances_of(name) else []
    bystander = launch(ec2)[0]
    sim.forget_calls()

    check_answer(name, function.invoke(told_of(name, ids)), ids)

    calls = Counter(call["action"] for call in sim.calls())
    if isinstance(EXPECTED[name], str):
        assert not calls, "an ignored event makes no call"
    else:
        assert calls[MODIFY] == len(ids)
        # The instances of a truncated launch are described until two answers agree.
        observe = 2 if name == "ec2-launch-cut-off" else 1
        assert observe + 1 <= calls[DESCRIBE] <= observe + 2, "to observe, and one or two to verify"
        assert set(calls) == {MODIFY, DESCRIBE}
        changed = sorted(call["parameters"]["InstanceId"] for call in sim.calls(MODIFY))
        assert changed == sorted(ids)
        for instance_id in ids:
            assert options(ec2, instance_id)["HttpTokens"] == "required"
    assert options(ec2, bystander)["HttpTokens"] == "optional"


@pytest.mark.parametrize("name", EXPECTED)
def test_events_against_moto(start, moto, name):
    ec2 = ec2_client(moto.url)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    function = start(Function, moto.url)
    ids = imdsv1(ec2, name, instances_of(name), image) if instances_of(name) else []

    answer = function.invoke(told_of(name, ids))

    if name == "ec2-launch-cut-off":
        # moto fails at the filter client-token: to the function, EC2 failed, and the event is retried.
        assert answer["errorType"] == "Unfinished", answer
        return
    check_answer(name, answer, ids)
    tokens = "optional" if isinstance(EXPECTED[name], str) else "required"
    for instance_id in ids:
        assert describe(ec2, instance_id)[0]["MetadataOptions"]["HttpTokens"] == tokens


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("where", ["ec2-sim", "moto"])
def test_a_sweep_takes_every_instance(request, start, where, name):
    url = request.getfixturevalue("sim" if where == "ec2-sim" else "moto").url
    ec2 = ec2_client(url)
    image = IMAGE if where == "ec2-sim" else ec2.describe_images()["Images"][0]["ImageId"]
    ids = imdsv1(ec2, name, 3, image)
    answer = start(Function, url).invoke(sample_events.about(name, []))
    enforced = {outcome["instanceId"] for outcome in answer["outcomes"] if outcome["outcome"] == "enforced"}
    assert set(ids) <= enforced, answer
    assert {outcome["trigger"] for outcome in answer["outcomes"]} == {"sweep"}
    for instance_id in ids:
        assert describe(ec2, instance_id)[0]["MetadataOptions"]["HttpTokens"] == "required"


def test_a_compliant_instance_costs_one_describe(sim, ec2, function):
    (instance_id,) = running(ec2, options={"HttpTokens": "required"})
    sim.forget_calls()
    answer = function.invoke(sample_events.about("ec2-launch-one", [instance_id]))
    assert answer["counts"] == {"compliant": 1}
    assert [call["action"] for call in sim.calls()] == [DESCRIBE]


def test_a_dry_run_changes_nothing(start, sim, ec2):
    function = start(Function, sim.url, IMDS_MODE="dry-run")
    ids = running(ec2, 2)
    event = sample_events.batch(*(json.dumps(sample_events.about("ec2-state-running", [i])) for i in ids))
    assert function.invoke(event) == {"batchItemFailures": []}
    answer = function.invoke(sample_events.about("ec2-launch-one", ids[:1]))
    assert (answer["mode"], answer["counts"]) == ("dry-run", {"would-enforce": 1})
    assert all(call["parameters"]["DryRun"] == "true" for call in sim.calls(MODIFY))
    for instance_id in ids:
        assert options(ec2, instance_id)["HttpTokens"] == "optional"


def test_every_option_of_the_policy_is_enforced(start, sim, ec2):
    policy = {
        "baseline": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 2,
            "HttpProtocolIpv6": "enabled",
            "InstanceMetadataTags": "enabled",
        }
    }
    function = start(Function, sim.url, IMDS_POLICY_FILE="", IMDS_POLICY=json.dumps(policy))
    (instance_id,) = running(ec2, options={"HttpPutResponseHopLimit": 5})
    answer = function.invoke(sample_events.about("ec2-launch-one", [instance_id]))
    assert answer["counts"] == {"enforced": 1}, answer
    assert answer["outcomes"][0]["change"] == policy["baseline"]
    assert options(ec2, instance_id) == policy["baseline"] | {"HttpEndpoint": "enabled"}


def test_a_disabled_endpoint_stays_disabled(sim, ec2, function):
    (instance_id,) = running(ec2, options={"HttpEndpoint": "disabled"})
    before = options(ec2, instance_id)
    answer = function.invoke(sample_events.about("ec2-launch-one", [instance_id]))
    assert answer["counts"] == {"compliant": 1}, answer
    assert options(ec2, instance_id) == before
    assert sim.calls(MODIFY) == []


def test_an_instance_that_ec2_does_not_show_fails_a_direct_invocation(function):
    answer = function.invoke(sample_events.about("ec2-launch-one", [NO_INSTANCE]))
    assert answer["errorType"] == "Unfinished", answer
    assert f"{NO_INSTANCE} is not-ready" in answer["errorMessage"]


def test_a_missing_permission_is_said_and_not_retried(sim, ec2, function):
    (instance_id,) = running(ec2)
    sim.fault(action=MODIFY, kind="deny")
    answer = function.invoke(sample_events.about("ec2-launch-one", [instance_id]))
    assert answer["counts"] == {"denied": 1}, answer
    assert any("ec2:ModifyInstanceMetadataOptions" in reason for reason in answer["outcomes"][0]["reasons"])


def test_a_record_that_fails_fails_alone(ec2, function):
    good, terminated = running(ec2, 2)
    ec2.terminate_instances(InstanceIds=[terminated])
    wait_for_state(ec2, terminated, "terminated")
    launched = json.dumps(sample_events.about("ec2-launch-one", [good]))
    no_ids = json.loads(launched)
    no_ids["detail"]["responseElements"] = None
    no_ids["detail"]["requestParameters"] = None
    bodies = {
        "a good one": launched,
        "not JSON": "{",
        "empty": "",
        "an array": "[1, 2]",
        "a number": "7",
        "unknown source": '{"source": "x", "detail-type": "y"}',
        "a megabyte": json.dumps({"source": "aws.ec2", "padding": "x" * 1_000_000}),
        "terminated": json.dumps(sample_events.about("ec2-state-running", [terminated])),
        "unknown instance": json.dumps(sample_events.about("ec2-state-running", [NO_INSTANCE])),
    }
    answer = function.invoke(sample_events.batch(*bodies.values()))
    rows = list(bodies)
    failed = {rows[int(failure["itemIdentifier"][1:])] for failure in answer["batchItemFailures"]}
    assert failed == {"not JSON", "empty", "unknown instance"}
    assert options(ec2, good)["HttpTokens"] == "required"


def test_payloads_that_are_no_event_are_ignored(function, sim):
    rows = {
        "array": [1, 2],
        "text": "hello",
        "null": None,
        "object": {},
        "deep": json.loads("[" * 100 + "]" * 100),
    }
    for row, payload in rows.items():
        answer = function.invoke(payload)
        assert answer.get("counts") == {} and len(answer.get("ignored", [])) == 1, f"{row}: {answer}"
    assert sim.calls() == []


@pytest.mark.parametrize("records", [[{"body": "{}"}], [{"eventSource": "aws:kinesis"}], "aws:sqs"])
def test_records_that_are_not_of_sqs_fail_as_a_whole(function, sim, records):
    answer = function.invoke({"Records": records})
    assert answer.get("errorType") == "MalformedBatch", answer
    assert sim.calls() == []


def test_failed_records_are_visible_again_after_seconds(start, sim, ec2, moto):
    sqs = SESSION.client(
        "sqs", endpoint_url=moto.url, region_name=REGION, aws_access_key_id=ACCOUNT, aws_secret_access_key="secret"
    )
    url = sqs.create_queue(QueueName="events", Attributes={"VisibilityTimeout": "1081"})["QueueUrl"]
    (good,) = running(ec2)
    # More than the ten entries that SQS accepts in a call.
    bodies = [json.dumps(sample_events.about("ec2-state-running", [i])) for i in [good, *[NO_INSTANCE] * 11]]
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body)

    def receive() -> list[dict]:
        """The visible messages. SQS returns ten at most."""
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += messages
        return found

    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    records = [
        record | {"messageId": m["MessageId"], "receiptHandle": m["ReceiptHandle"], "eventSourceARN": arn}
        for m in receive()
        for record in sample_events.batch(m["Body"])["Records"]
    ]
    assert len(records) == 12
    function = start(Function, sim.url, AWS_ENDPOINT_URL_SQS=moto.url)
    answer, ended = function.invoke({"Records": records}), time.monotonic()
    failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
    assert len(failed) == 11
    again = []

    def are_visible() -> bool:
        again.extend(message["MessageId"] for message in receive())
        return len(again) >= 11

    # 10 s, give or take 20%.
    until("a little earlier, none", lambda: not receive() and time.monotonic() - ended > 6)
    until("the failed records", are_visible)
    assert set(again) == failed and time.monotonic() - ended < 14


def test_each_outcome_and_the_batch_are_log_lines(ec2, function):
    ids = running(ec2, 2)
    bodies = [json.dumps(sample_events.about("ec2-state-running", [instance_id])) for instance_id in ids]
    function.invoke(sample_events.batch(*bodies, sample_events.text("s3-unrelated")))
    written = until("the batch's line", lambda: (lines := function.log_lines()) and "counts" in lines[-1] and lines)
    first, *log = written
    assert first["message"] == "started" and re.match(r"\d+\.\d+\.\d+", first["version"]), first
    outcomes, batch = [line for line in log if "outcome" in line], log[-1]
    assert all("_aws" in line for line in log if line not in [*outcomes, batch]), "metrics, and nothing else"
    assert sorted(line["instanceId"] for line in outcomes) == sorted(ids)
    for line in outcomes:
        assert (line["level"], line["outcome"], line["state"]) == ("INFO", "enforced", "applied"), line
        assert line["requestId"] == batch["requestId"]
    assert (batch["message"], batch["counts"]) == ("batch done", {"enforced": 2})
    assert len(batch["ignored"]) == 1


def test_a_policy_that_is_wrong_stops_the_start(start, sim):
    function = start(Function, sim.url, IMDS_POLICY_FILE="", IMDS_POLICY='{"baseline": {"HttpTokens": "on"}}')
    assert requests.post(function.url, data=b"{}", timeout=30).status_code == 502
    assert "IMDS_POLICY: baseline.HttpTokens: must be required or optional" in function.output()


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"])
def test_an_empty_endpoint_counts_as_unset(start, sim, ec2, variable):
    (instance_id,) = running(ec2)
    # The one that is not empty counts.
    other = {"AWS_ENDPOINT_URL_EC2": sim.url, "AWS_ENDPOINT_URL": sim.url} | {variable: ""}
    function = start(Function, sim.url, **other)
    answer = function.invoke(sample_events.about("ec2-launch-one", [instance_id]))
    assert answer.get("counts") == {"enforced": 1}, answer


def test_a_member_account_is_reached_through_its_role_on_moto(start, moto):
    account, role = "444455556666", "imds-enforcer-member"
    sts = SESSION.client(
        "sts",
        endpoint_url=moto.url,
        region_name="eu-west-1",
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="secret",
    )
    arn = f"arn:aws:iam::{account}:role/{role}"
    keys = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    ec2 = SESSION.client(
        "ec2",
        endpoint_url=moto.url,
        region_name="eu-west-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    image = ec2.describe_images()["Images"][0]["ImageId"]
    (instance_id,) = launch(ec2, options={"HttpTokens": "optional"}, ImageId=image)
    event = sample_events.about("ec2-state-running", [instance_id]) | {"account": account, "region": "eu-west-1"}
    function = start(Function, moto.url, AWS_ENDPOINT_URL_STS=moto.url, IMDS_MEMBER_ROLE=role)
    answer = function.invoke(event)
    assert answer.get("counts") == {"enforced": 1}, answer
    assert describe(ec2, instance_id)[0]["MetadataOptions"]["HttpTokens"] == "required"
    assert ec2.describe_instances()["Reservations"][0]["OwnerId"] == account, "moto has accounts of their own"
