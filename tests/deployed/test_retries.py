"""Retries of the deployed template: an outage of EC2, and records that cannot be read."""

import json
import time
from contextlib import contextmanager

import pytest
import sample_events
from cloud import Stack
from ec2_words import launch, running
from processes import until

OPTIONAL = {"HttpTokens": "optional"}
# How long EC2 fails, and how long the function may take after that, in seconds.
OUTAGE, AFTER_IT = 90.0, 120.0


@pytest.fixture(scope="module")
def stack(cloud) -> Stack:
    return cloud.sam_deploy()


def test_what_is_launched_during_an_outage_is_enforced_soon_after_it(stack):
    sim = stack.cloud.sim
    # Every call of the function. Launches succeed.
    for action in ("DescribeInstances", "ModifyInstanceMetadataOptions"):
        sim.fault(action=action, kind="server-error")
    end = time.monotonic() + OUTAGE
    ids = [instance_id for _ in range(3) for instance_id in launch(stack.ec2, 10, options=OPTIONAL)]
    time.sleep(end - time.monotonic())
    receives = [message["ReceiveCount"] for message in stack.kept()]
    sim.control("DELETE", "faults")
    ended = time.monotonic()
    assert len(receives) == 3 + len(ids), "each launch, and each instance that runs"
    assert max(receives) >= 3, "retried during the outage"
    stack.wait_until_enforced(*ids, within=AFTER_IT)
    stack.settle(within=AFTER_IT - (time.monotonic() - ended))
    assert not stack.messages(), "neither in a queue nor in a dead-letter queue"


@contextmanager
def one_batch(stack: Stack):
    """What is sent in the block is delivered afterward, in one batch."""
    lambdas, arn = stack.client("lambda"), stack.outputs["EnforcerArn"]
    (mapping,) = lambdas.list_event_source_mappings(FunctionName=arn)["EventSourceMappings"]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextmanager
def visibility_timeout(stack: Stack, seconds: int):
    """Another visibility timeout in the block, after which the queue is empty."""
    sqs, url = stack.client("sqs"), stack.outputs["QueueUrl"]
    attributes = ["VisibilityTimeout"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=attributes)["Attributes"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
    try:
        yield
    finally:
        sqs.purge_queue(QueueUrl=url)
        sqs.set_queue_attributes(QueueUrl=url, Attributes=before)


def waiting(stack: Stack, ids: list[str]) -> list[dict]:
    """Those messages that are kept, if none is visible or in flight: all were delivered, and wait for a retry."""
    messages = [message for message in stack.kept() if message["MessageId"] in ids]
    return messages if all(0 < message["VisibleAt"] - time.time() < 3600 for message in messages) else []


def test_a_record_that_cannot_be_read_is_kept_and_told_at_once_and_its_neighbors_are_done(stack):
    with stack.off("LaunchRule", "StateRule"):
        ids = running(stack.ec2, 2, options=OPTIONAL)
        readable = [sample_events.about("ec2-state-running", [instance_id]) for instance_id in ids]
        no_time = {key: value for key, value in readable[0].items() if key != "time"}
        malformed_id = readable[0] | {"detail": readable[0]["detail"] | {"instance-id": "i-0123456789abcdefg"}}
        bodies = {"no-time": no_time, "first": readable[0], "malformed-id": malformed_id, "last": readable[1]}
        entries = [{"Id": row, "MessageBody": json.dumps(body)} for row, body in bodies.items()]
        # Much longer than 15 minutes, so that only the function can have set when a record is visible again.
        with visibility_timeout(stack, 43_200):
            with one_batch(stack):
                sent = stack.client("sqs").send_message_batch(QueueUrl=stack.outputs["QueueUrl"], Entries=entries)
            rows = {message["MessageId"]: message["Id"] for message in sent["Successful"]}
            stack.wait_until_enforced(*ids)
            found = until("the retries", lambda: waiting(stack, list(rows)))
            kept = {rows[message["MessageId"]]: message for message in found}
            assert kept.keys() == {"no-time", "malformed-id"}
            for row, message in kept.items():
                assert message["ReceiveCount"] == 1, row
                assert 0.8 * 900 - 30 < message["VisibleAt"] - time.time() < 1.2 * 900, f"{row}: in 15 minutes"
                assert stack.logged(f'"{message["MessageId"]}"'), f"{row}: the log tells"
            told = until("the metric", lambda: stack.points("UnreadableAlarm"))
            assert sum(point["Sum"] for point in told) == 2
            assert stack.alarm("UnreadableAlarm")["StateValue"] == "ALARM"
            assert {outcome["outcome"] for i in ids for outcome in stack.outcomes(i)} == {"enforced"}
