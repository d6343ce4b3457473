"""The closed loop: ec2-sim sends its events to the function, and the function changes instances in ec2-sim."""

import sample_events
from conftest import AwsCli, ec2_client
from ec2_words import IMAGE, describe, launch, options, wait_for_state
from processes import INVOKE_PATH, Ec2Sim, Function, free_port, until


def loop(start, *flags: str) -> tuple[Ec2Sim, Function]:
    """ec2-sim and the function, connected to each other."""
    port = free_port()
    sim = start(Ec2Sim, "--deliver-to", f"http://127.0.0.1:{port}{INVOKE_PATH}", *flags)
    return sim, start(Function, sim.url, port)


def is_enforced(ec2, instance_id: str) -> bool:
    shown = describe(ec2, instance_id)[0]["MetadataOptions"]
    return (shown["HttpTokens"], shown["State"]) == ("required", "applied")


def test_a_launched_instance_is_required_within_seconds(start):
    sim, _ = loop(start, "--apply-delay", "500", "--start-delay", "500", "--state-delay", "200")
    aws, ec2 = AwsCli(sim.url), ec2_client(sim.url)
    answer = aws("run-instances", "--image-id", IMAGE, "--count", "3", "--metadata-options", "HttpTokens=optional")
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    assert all(instance["MetadataOptions"]["HttpTokens"] == "optional" for instance in answer["Instances"])
    until("all enforced", lambda: all(is_enforced(ec2, instance_id) for instance_id in ids), within=15)
    # One change each, although a launch event and three state changes named the instances.
    changed = sorted(call["parameters"]["InstanceId"] for call in sim.calls("ModifyInstanceMetadataOptions"))
    assert changed == sorted(ids)


def test_a_launch_that_cloudtrail_cuts_off_is_enforced_whole(start):
    sim, function = loop(start, "--apply-delay", "200", "--start-delay", "200", "--state-delay", "100")
    ec2 = ec2_client(sim.url)
    ids = launch(ec2, 45, options={"HttpTokens": "optional"})
    assert sim.events()[0]["detail"]["responseElements"] == {"omitted": True}
    until("all enforced", lambda: all(is_enforced(ec2, instance_id) for instance_id in ids), within=30)
    first = until("the first report", lambda: [line for line in function.log_lines() if "counts" in line])[0]
    assert first["counts"] == {"enforced": 45}, "found by the launch's client token"


def test_a_change_on_a_stopped_instance_is_applied_at_its_start(start):
    sim, function = loop(start, "--apply-delay", "200", "--start-delay", "200", "--state-delay", "100")
    ec2 = ec2_client(sim.url)
    (instance_id,) = launch(ec2, options={"HttpTokens": "required"})
    wait_for_state(ec2, instance_id, "running")
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional")
    ec2.stop_instances(InstanceIds=[instance_id])
    until("required", lambda: options(ec2, instance_id)["HttpTokens"] == "required")
    until("the report", lambda: any(line.get("outcome") == "enforced" for line in function.log_lines()))
    ec2.start_instances(InstanceIds=[instance_id])
    until("enforced", lambda: is_enforced(ec2, instance_id))


def shape(event: dict) -> dict:
    """An event's keys, and those of its detail."""
    return {"event": set(event), "detail": set(event["detail"])}


def test_delivered_events_have_the_shape_of_the_samples(start):
    sim, _ = loop(start, "--apply-delay", "100", "--start-delay", "100", "--state-delay", "100")
    (instance_id,) = launch(ec2_client(sim.url))

    def delivered(*wanted: str):
        kinds = {event["detail"].get("eventName") or event["detail"].get("state"): event for event in sim.events()}
        return set(wanted) <= set(kinds) and kinds

    kinds = until("events of a launch", lambda: delivered("RunInstances", "running"))
    for kind, sample in (("RunInstances", "ec2-launch-one"), ("running", "ec2-state-running")):
        event = sample_events.about(sample, [instance_id])
        assert shape(kinds[kind])["event"] == shape(event)["event"], kind
        assert shape(kinds[kind])["detail"] <= shape(event)["detail"], kind
        assert kinds[kind]["account"] == "111122223333" and kinds[kind]["region"] == "us-east-1", kind
        assert instance_id in str(kinds[kind]), kind
