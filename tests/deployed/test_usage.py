"""The usage gate and the watch, with a CloudWatch that is not ours: ministack's. EC2 is ec2-sim."""

import json
from datetime import datetime, timedelta, timezone

import pytest
import sample_events
from processes import ACCOUNT, REGION, Function

USED, REJECTED = "MetadataNoToken", "MetadataNoTokenRejected"
DAY = timedelta(days=1)


@pytest.fixture
def function(cloud, tmp_path):
    """Starts the function with a policy that requires tokens, behind this gate."""
    started = []

    def start(gate: dict, **policy) -> Function:
        document = {"baseline": {"HttpTokens": "required"}, "usageGate": gate} | policy
        folder = tmp_path / str(len(started))
        folder.mkdir()
        variables = {"IMDS_POLICY_FILE": "", "IMDS_POLICY": json.dumps(document)}
        started.append(Function(folder, cloud.sim.url, AWS_ENDPOINT_URL_CLOUDWATCH=cloud.ministack.url, **variables))
        return started[-1]

    yield start
    for each in started:
        print(f"--- the function printed:\n{each.output()}")
        each.stop()


def today() -> datetime:
    return datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def publish(cloud, instance_id: str, calls: dict[int, float], metric: str = USED):
    """Publishes calls, by how many days ago."""
    cloud.publish(metric, instance_id, {today() - ago * DAY: value for ago, value in calls.items()})


def quiet(days: int) -> dict[int, float]:
    """Today and the days before it, as many as these, without calls."""
    return dict.fromkeys(range(days), 0.0)


def ran(cloud, count: int = 1, **options: str) -> list[str]:
    return cloud.sim.ran_before(days=90, count=count, **{"HttpTokens": "optional"} | options)


def outcome(function: Function, instance_id: str) -> dict:
    """What becomes of an instance that is running again."""
    report = function.invoke(sample_events.about("ec2-state-running", [instance_id]))
    (found,) = report["outcomes"]
    return found


def tokens(cloud, instance_id: str) -> str:
    found = cloud.client("ec2").describe_instances(InstanceIds=[instance_id])
    return found["Reservations"][0]["Instances"][0]["MetadataOptions"]["HttpTokens"]


def test_an_instance_with_calls_is_held_back(cloud, function):
    (instance_id,) = ran(cloud)
    publish(cloud, instance_id, quiet(13) | {9: 1200.0, 2: 4.0})
    found = outcome(function({}), instance_id)
    last = (today() - 2 * DAY).date().isoformat()
    assert (found["outcome"], found["usage"]) == ("in-use", {"calls": 1204, "lastDay": last, "days": 14})
    reason = f"HttpTokens=required is held back: 1,204 calls without a token in 14 days, the last on {last}"
    assert (found["reasons"], tokens(cloud, instance_id)) == ([reason], "optional")


def test_all_calls_of_a_day_count_and_of_no_other_instance(cloud, function):
    used, other = ran(cloud, 2)
    for each in (used, other):
        publish(cloud, each, quiet(13))
    cloud.publish(USED, used, {today() - 3 * DAY + timedelta(hours=h): 2.0 for h in (1, 12, 23)})
    gated = function({})
    assert outcome(gated, used)["usage"]["calls"] == 6
    found = outcome(gated, other)
    assert (found["outcome"], found["usage"]) == ("enforced", {"calls": 0, "days": 14})
    assert (tokens(cloud, used), tokens(cloud, other)) == ("optional", "required")


def test_no_data_and_too_few_days_are_what_on_unknown_is_for(cloud, function):
    none, few, enough = ran(cloud, 3)
    publish(cloud, few, quiet(6))
    publish(cloud, enough, quiet(7))
    held, lenient = function({}), function({"onUnknown": "enforce"})
    reason = "HttpTokens=required is held back: observed on {} of 7 days"
    for instance_id, days in ((none, 0), (few, 6)):
        found = outcome(held, instance_id)
        assert (found["outcome"], found["reasons"]) == ("in-use", [reason.format(days)])
        assert tokens(cloud, instance_id) == "optional"
    assert outcome(held, enough)["outcome"] == "enforced"
    for instance_id in (none, few):
        assert outcome(lenient, instance_id)["outcome"] == "enforced"


def test_tolerated_calls_do_not_hold_back(cloud, function):
    within, beyond = ran(cloud, 2)
    publish(cloud, within, quiet(13) | {1: 4.0, 5: 6.0})
    publish(cloud, beyond, quiet(13) | {1: 5.0, 5: 6.0})
    tolerant = function({"toleratedCalls": 10})
    found = outcome(tolerant, within)
    assert (found["outcome"], found["usage"]["calls"]) == ("enforced", 10)
    assert outcome(tolerant, beyond)["outcome"] == "in-use"


def test_calls_before_the_lookback_do_not_count(cloud, function):
    (instance_id,) = ran(cloud)
    # This CloudWatch has two weeks, so that the lookback is shorter here.
    publish(cloud, instance_id, quiet(13) | {8: 50.0})
    found = outcome(function({"lookbackDays": 8}), instance_id)
    assert (found["outcome"], found["usage"]["calls"]) == ("in-use", 50), "the first day counts"
    found = outcome(function({"lookbackDays": 7}), instance_id)
    assert (found["outcome"], found["usage"]) == ("enforced", {"calls": 0, "days": 7})


def swept(function: Function, sample: str, region: str) -> dict:
    """The report on a sweep of a Region, which has the instances of one test only."""
    return function.invoke(json.loads(sample_events.text(sample)) | {"account": ACCOUNT, "region": region})


def test_a_sweep_asks_about_more_instances_than_a_call_may(cloud, function):
    region = "eu-west-1"
    ids = cloud.sim.ran_before(days=90, count=510, region=region, HttpTokens="optional")
    used = set(ids[::5])
    for instance_id in ids:
        days = {today() - ago * DAY: 1.0 if instance_id in used else 0.0 for ago in range(7)}
        cloud.publish(USED, instance_id, days, region)
    report = swept(function({}, mode="dry-run"), "imds-enforcer-sweep", region)
    held = {found["instanceId"] for found in report["outcomes"] if found["outcome"] == "in-use"}
    assert (held, report["counts"]) == (used, {"in-use": len(used), "would-enforce": 510 - len(used)})


def test_a_launch_follows_its_group(cloud, function):
    def launched(group: str, age: int) -> str:
        body = {"region": REGION, "firstRan": age, "tags": {"aws:autoscaling:groupName": group}}
        (instance_id,) = cloud.sim.control("POST", "instances", body)["instanceIds"]
        return instance_id

    gated = function({})
    for group, calls, expected in (("busy", 3.0, "in-use"), ("quiet", 0.0, "enforced")):
        sibling, new = launched(group, 90 * 86400), launched(group, 60)
        publish(cloud, sibling, quiet(13) | {1: calls})
        (found,) = gated.invoke(sample_events.about("ec2-launch-one", [new]))["outcomes"]
        assert found["outcome"] == expected
        assert (tokens(cloud, new) == "required") == (expected == "enforced")
        if expected == "in-use":
            assert f'instance {sibling} of the same Auto Scaling group "busy" is held back' in found["reasons"][0]


def test_the_watch_warns_of_refused_calls_of_the_last_24_hours(cloud, function):
    region = "eu-west-2"
    refused, others = cloud.sim.ran_before(days=90, count=2, region=region, HttpTokens="required")
    now = datetime.now(timezone.utc)
    calls = {now - timedelta(minutes=5): 30.0, now - timedelta(hours=23): 7.0, now - timedelta(hours=26): 100.0}
    cloud.publish(REJECTED, refused, calls, region)
    watched = function({})

    def warnings(sample: str) -> dict[str, list[str]]:
        return {found["instanceId"]: found["warnings"] for found in swept(watched, sample, region)["outcomes"]}

    text = "37 calls without a token were refused in 24 hours: something on the instance still uses IMDSv1"
    assert warnings("imds-enforcer-sweep-watch") == {refused: [text], others: []}
    assert warnings("imds-enforcer-sweep") == {refused: [], others: []}
