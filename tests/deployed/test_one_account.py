"""The template deployed to one account by `sam deploy`, with the closed loop through its own rules and queues."""

import json
import time
from datetime import datetime, timedelta, timezone

import pytest
import sample_events
from cloud import Stack
from ec2_words import launch, options, running, wait_for_state
from processes import ACCOUNT, REGION, until

MODIFY = "ModifyInstanceMetadataOptions"
OPTIONAL = {"HttpTokens": "optional"}


@pytest.fixture(scope="module")
def stack(cloud) -> Stack:
    return cloud.sam_deploy()


@pytest.fixture(autouse=True)
def done(stack):
    """After each test, nothing is left to do: all queues are empty, and no change causes another."""
    yield
    stack.settle()


def alarm_states(stack: Stack) -> dict[str, str]:
    names = {physical: logical for logical, physical in stack.of_type("AWS::CloudWatch::Alarm").items()}
    alarms = stack.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {names[alarm["AlarmName"]]: alarm["StateValue"] for alarm in alarms}


def enforced_once(stack: Stack, instance_id: str, *triggers: str):
    """The instance was changed for one of these triggers, and the function's own change caused no further one."""
    stack.settle()
    outcomes = stack.outcomes(instance_id)
    assert {outcome["trigger"] for outcome in outcomes} <= set(triggers), outcomes
    assert "enforced" in {outcome["outcome"] for outcome in outcomes}, outcomes
    # ministack has no batching window: two events may be handled at the same time, and each makes the change.
    assert 1 <= len(stack.changes(instance_id)) <= len(triggers)


def test_a_launch_is_enforced_and_our_own_change_is_no_drift(stack):
    ids = launch(stack.ec2, 3, options=OPTIONAL)
    stack.wait_until_enforced(*ids)
    for instance_id in ids:
        enforced_once(stack, instance_id, "launch", "state-change")
    # EC2 also sent events of the function's own changes, with the identity of the caller.
    told = {
        detail["requestParameters"]["ModifyInstanceMetadataOptionsRequest"]["InstanceId"]: detail["userIdentity"]
        for detail in (event["detail"] for event in stack.cloud.sim.events())
        if detail.get("eventName") == MODIFY
    }
    role = stack.role_arn("EnforcerRole")
    assert [told[instance_id]["sessionContext"]["sessionIssuer"]["arn"] for instance_id in ids] == [role] * 3


def test_a_launch_that_cloudtrail_cuts_off_is_enforced_whole(stack):
    # Only the record of the launch names them, and its list of instances is truncated.
    with stack.off("StateRule"):
        ids = launch(stack.ec2, 45, options=OPTIONAL)
        stack.wait_until_enforced(*ids, within=30)
        stack.settle()
    assert {outcome["trigger"] for outcome in stack.outcomes(ids[-1])} == {"launch"}


def test_what_is_missed_before_a_stop_is_enforced_at_the_stop_and_applied_at_the_start(stack):
    (instance_id,) = running(stack.ec2, options={"HttpTokens": "required"})
    stack.settle()
    with stack.off("DriftRule"):
        stack.ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional")
        stack.ec2.stop_instances(InstanceIds=[instance_id])
        until("required", lambda: options(stack.ec2, instance_id)["HttpTokens"] == "required")
        stack.settle()
    stack.ec2.start_instances(InstanceIds=[instance_id])
    wait_for_state(stack.ec2, instance_id, "running")
    stack.wait_until_enforced(instance_id)
    enforced_once(stack, instance_id, "launch", "state-change")


def test_drift_is_undone(stack):
    (instance_id,) = running(stack.ec2, options={"HttpTokens": "required"})
    stack.settle()
    stack.ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional")
    until("the change", lambda: stack.changes(instance_id))
    stack.wait_until_enforced(instance_id)
    stack.settle()
    assert [o["outcome"] for o in stack.outcomes(instance_id) if o["trigger"] == "drift"] == ["enforced"]
    assert len(stack.changes(instance_id)) == 1


def test_a_tag_that_tightens_is_obeyed(stack):
    tightened = {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}
    (instance_id,) = running(stack.ec2, options=tightened)
    stack.settle()
    tags = [{"Key": "imds:HttpPutResponseHopLimit", "Value": "1"}, {"Key": "Name", "Value": "db"}]
    stack.ec2.create_tags(Resources=[instance_id], Tags=tags)
    until("hop limit 1", lambda: options(stack.ec2, instance_id)["HttpPutResponseHopLimit"] == 1)
    stack.wait_until_enforced(instance_id)
    stack.settle()
    assert [o["outcome"] for o in stack.outcomes(instance_id) if o["trigger"] == "tag-change"] == ["enforced"]
    # A key that the policy does not read costs no call.
    stack.cloud.sim.forget_calls()
    stack.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "Owner", "Value": "dba"}])
    stack.settle()
    assert [call["action"] for call in stack.cloud.sim.calls()] == ["CreateTags"]


def test_a_sweep_on_demand_finds_what_events_missed(stack):
    with stack.off("LaunchRule", "StateRule"):
        ids = running(stack.ec2, 3, options=OPTIONAL)
        assert not stack.is_enforced(*ids)
        stack.put_sweep()
        stack.wait_until_enforced(*ids)
        stack.settle()
    assert not stack.outcomes(ids[0])
    (outcome,) = stack.outcomes(ids[0], log="SweeperLogName")
    assert (outcome["trigger"], outcome["outcome"]) == ("sweep", "enforced")
    assert {call["role"] for call in stack.changes(ids[0])} == {stack.role_arn("SweeperRole")}


# ---- Usage gate and watch ----


def sent_by_schedule(stack: Stack, name: str) -> dict:
    """What a scheduled rule sends. The rule's target takes it, in a rule for events that stand in for the schedule's.

    It sends to a queue that no function reads.
    """
    events, sqs = stack.client("events"), stack.client("sqs")
    (target,) = events.list_targets_by_rule(Rule=stack.ids[name])["Targets"]
    queue = stack.outputs["RuleDeadLettersUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    scheduled = json.loads(sample_events.text("events-scheduled"))
    pattern = {"source": [scheduled["source"]], "detail-type": [scheduled["detail-type"]]}
    events.put_rule(Name="stand-in", EventPattern=json.dumps(pattern))
    try:
        events.put_targets(Rule="stand-in", Targets=[target | {"Arn": arn}])
        events.put_events(
            Entries=[{"Source": scheduled["source"], "DetailType": scheduled["detail-type"], "Detail": "{}"}]
        )
        (message,) = until("the event", lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    finally:
        events.remove_targets(Rule="stand-in", Ids=[target["Id"]])
        events.delete_rule(Name="stand-in")
    return json.loads(message["Body"])


def test_the_daily_schedule_sends_a_sweep_with_the_watch(stack):
    started = datetime.now(timezone.utc) - timedelta(seconds=1)
    sent = sent_by_schedule(stack, "WatchScheduleRule")
    expected = json.loads(sample_events.text("imds-enforcer-sweep-watch"))
    assert sent | {"id": "", "time": ""} == expected | {"id": "", "time": "", "account": ACCOUNT, "region": REGION}
    assert sent["id"]
    assert started.replace(microsecond=0) <= datetime.fromisoformat(sent["time"].replace("Z", "+00:00"))
    # The other schedule sends the event as it is, which is a sweep without the watch.
    assert sent_by_schedule(stack, "SweepScheduleRule")["detail"] == {}


def test_days_are_summed_from_midnight_to_midnight(stack):
    """What the gate relies on, checked of the emulator that the next test uses."""
    cloudwatch = stack.client("cloudwatch")
    now = datetime.now(timezone.utc)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - timedelta(days=1)
    calls = {yesterday: 1, yesterday + timedelta(hours=23, minutes=59): 2, today: 4, today - timedelta(days=5): 8}
    stack.publish("MetadataNoToken", "i-days", calls)
    # Older than two weeks: CloudWatch refuses it, and this emulator forgets it.
    stack.publish("MetadataNoToken", "i-days", {today - timedelta(days=15): 16})
    metric = {
        "Namespace": "AWS/EC2",
        "MetricName": "MetadataNoToken",
        "Dimensions": [{"Name": "InstanceId", "Value": "i-days"}],
    }
    (result,) = cloudwatch.get_metric_data(
        MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 86400, "Stat": "Sum"}}],
        StartTime=today - timedelta(days=30),
        EndTime=now,
    )["MetricDataResults"]
    assert result["StatusCode"] == "Complete"
    found = dict(zip(result["Timestamps"], result["Values"], strict=True))
    assert found == {today - timedelta(days=5): 8, yesterday: 3, today: 4}


def test_an_instance_in_use_is_enforced_when_its_calls_have_ended_and_watched_afterwards(stack):
    def swept(instance_id: str, outcome: str) -> dict:
        """The Sweeper's last outcome of the instance, when it is this one."""
        found = until(
            outcome,
            lambda: (
                (outcomes := stack.outcomes(instance_id, log="SweeperLogName"))
                and outcomes[-1]["outcome"] == outcome
                and outcomes[-1]
            ),
        )
        stack.settle()
        return found

    (instance_id,) = stack.cloud.sim.ran_before(days=90, HttpTokens="optional")
    stack.publish_days("MetadataNoToken", instance_id, 40)
    stack.put_sweep()
    held = swept(instance_id, "in-use")
    assert held["usage"]["calls"] == 13 * 40
    assert any("HttpTokens=required is held back" in reason for reason in held["reasons"]), held
    assert options(stack.ec2, instance_id)["HttpTokens"] == "optional"
    assert not stack.changes(instance_id)

    # The calls have ended, for as long as the gate looks back.
    stack.publish_days("MetadataNoToken", instance_id, 0)
    stack.put_sweep()
    enforced = swept(instance_id, "enforced")
    assert (enforced["usage"]["calls"], enforced["change"]) == (0, {"HttpTokens": "required"})
    assert stack.is_enforced(instance_id)
    assert len(stack.changes(instance_id)) == 1

    # Something on the instance still calls without a token. A sweep without the watch does not ask for it.
    stack.publish("MetadataNoTokenRejected", instance_id, {datetime.now(timezone.utc) - timedelta(minutes=30): 37})
    stack.put_sweep()
    assert not swept(instance_id, "compliant")["warnings"]
    assert not [point for point in stack.points("RejectedCallsAlarm") if point["Sum"]]
    assert alarm_states(stack)["RejectedCallsAlarm"] != "ALARM"
    stack.put_sweep_with_watch()
    until("the metric", lambda: [point for point in stack.points("RejectedCallsAlarm") if point["Sum"]])
    stack.settle()
    (warning,) = stack.outcomes(instance_id, log="SweeperLogName")[-1]["warnings"]
    assert "37 calls without a token were refused in 24 hours" in warning
    assert alarm_states(stack)["RejectedCallsAlarm"] == "ALARM"
    assert len(stack.changes(instance_id)) == 1, "the watch changes nothing"


# ---- Alarms ----


def test_every_alarm_of_the_template_is_there_and_looks_at_what_is_deployed(stack):
    alarms = stack.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in alarms} == set(stack.of_type("AWS::CloudWatch::Alarm").values())
    names = {
        "QueueName": {url.rsplit("/", 1)[1] for url in stack.of_type("AWS::SQS::Queue").values()},
        "FunctionName": set(stack.of_type("AWS::Lambda::Function").values()),
    }
    for alarm in alarms:
        for dimension in alarm["Dimensions"]:
            deployed = names.get(dimension["Name"])
            assert deployed is None or dimension["Value"] in deployed, alarm


def test_alarms_look_at_the_metrics_that_the_functions_write(stack):
    sim = stack.cloud.sim
    # An instance whose change is denied, and one whose configuration rules the change out.
    denied, blocked = launch(stack.ec2, 2, options=OPTIONAL)
    sim.fault(kind="deny", action=MODIFY, instance=denied)
    unsupported = {"error": {"code": "UnsupportedOperation", "status": 400, "message": "no"}}
    sim.fault(kind=unsupported, action=MODIFY, instance=blocked)
    stack.put_sweep()
    fed = {"DeniedAlarm", "BlockedAlarm", "ThrottledAlarm", "SweepNotRunAlarm"}
    until("metrics", lambda: all(map(stack.points, fed)))
    states = alarm_states(stack)
    assert {name for name, state in states.items() if state == "ALARM"} >= {"DeniedAlarm", "BlockedAlarm"}
    assert states["SweepNotRunAlarm"] == "OK"
    sim.control("DELETE", "faults")
    stack.ec2.terminate_instances(InstanceIds=[denied, blocked])


# ---- What the stack consists of ----


def test_the_stacks_tags_are_on_what_is_paid_for_or_has_permissions(stack):
    def team(tags) -> str | None:
        """The value of the tag, in any of the forms that AWS has for tags."""
        return tags.get("team") if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}.get("team")

    sqs, lambdas, logs, iam = (stack.client(name) for name in ("sqs", "lambda", "logs", "iam"))
    found = {
        name: team(sqs.list_queue_tags(QueueUrl=url)["Tags"]) for name, url in stack.of_type("AWS::SQS::Queue").items()
    }
    for name, physical in stack.of_type("AWS::Lambda::Function").items():
        found[name] = team(lambdas.get_function(FunctionName=physical)["Tags"])
    for name, physical in stack.of_type("AWS::Logs::LogGroup").items():
        found[name] = team(logs.list_tags_log_group(logGroupName=physical)["tags"])
    for name, physical in stack.of_type("AWS::IAM::Role").items():
        found[name] = team(iam.list_role_tags(RoleName=physical)["Tags"])
    assert len(found) >= 11
    assert set(found.values()) == {"platform"}, found


def test_a_second_deployment_without_changes_changes_nothing(stack):
    started = time.monotonic()
    assert stack.cloud.sam_deploy().ids == stack.ids
    assert time.monotonic() - started < 30


def test_deleting_the_stack_leaves_the_logs_and_nothing_else(stack):
    """The last test of this file: the stack is gone after it."""
    logs = set(stack.of_type("AWS::Logs::LogGroup").values())
    cloudformation = stack.client("cloudformation")
    cloudformation.delete_stack(StackName=stack.name)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=stack.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    stack.resources.clear()
    left = {
        "queues": stack.client("sqs").list_queues().get("QueueUrls"),
        "functions": stack.client("lambda").list_functions()["Functions"],
        "mappings": stack.client("lambda").list_event_source_mappings()["EventSourceMappings"],
        "layers": stack.client("lambda").list_layers()["Layers"],
        "rules": stack.client("events").list_rules()["Rules"],
        "roles": stack.client("iam").list_roles()["Roles"],
        "policies": stack.client("iam").list_policies(Scope="Local")["Policies"],
        "alarms": stack.client("cloudwatch").describe_alarms()["MetricAlarms"],
        "dashboards": stack.client("cloudwatch").list_dashboards()["DashboardEntries"],
    }
    assert not any(left.values()), left
    assert {group["logGroupName"] for group in stack.client("logs").describe_log_groups()["logGroups"]} == logs
