"""The function's log lines for instances of every outcome."""

import datetime
import json

import sample_events
from conftest import ec2_client
from ec2_words import NO_INSTANCE, launch, running, wait_for_state
from processes import Ec2Sim, Function, until

MODIFY = "ModifyInstanceMetadataOptions"


class Written:
    """The metrics that were written: name, and dimensions with their values."""

    def __init__(self, documents: list[dict]):
        self.documents = documents
        self.names = {
            (metric["Name"], frozenset((name, document[name]) for name in dimensions))
            for document in documents
            for directive in document["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
            for dimensions in directive["Dimensions"]
        }


def documents(function: Function, *payloads) -> list[dict]:
    for payload in payloads:
        function.invoke(payload)
    done = until(
        "log lines",
        lambda: (lines := function.log_lines()) and sum("counts" in line for line in lines) == len(payloads) and lines,
    )
    return [line for line in done if "_aws" in line]


def old(event: dict) -> str:
    time = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=20)
    return json.dumps(event | {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ")})


def came_to_run(*ids: str) -> dict:
    """A batch with a state change to running for each instance."""
    return sample_events.batch(*(json.dumps(sample_events.about("ec2-state-running", [i])) for i in ids))


def of_every_outcome(start) -> Written:
    sim = start(Ec2Sim, "--apply-delay", "300", "--start-delay", "50", "--state-delay", "50")
    ec2 = ec2_client(sim.url)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    policy = {"baseline": {"HttpTokens": "required"}, "instanceTags": {"exemptions": {"maxDays": 30}}}
    function = start(Function, sim.url, IMDS_POLICY_FILE="", IMDS_POLICY=json.dumps(policy), IMDS_MODIFY_RATE="1000")
    ids = running(ec2, 6)
    for instance_id, kind in zip(
        ids[1:],
        ["deny", "throttle", {"error": {"code": "SomethingNew", "status": 400, "message": "no"}}],
        strict=False,
    ):
        sim.fault(action=MODIFY, instance=instance_id, kind=kind)
    for instance_id, code in zip(ids[4:], ["UnsupportedOperation", "IncorrectInstanceState"], strict=True):
        sim.fault(action=MODIFY, instance=instance_id, kind={"error": {"code": code, "status": 400, "message": "no"}})
    exempt = launch(ec2, tags={"imds:ExemptUntil": today})
    warned = launch(ec2, tags={"imds:Unknown": "x"})
    # For the sweep alone.
    running(ec2)
    (terminated,) = running(ec2)
    ec2.terminate_instances(InstanceIds=[terminated])
    wait_for_state(ec2, terminated, "terminated")
    redelivered = sample_events.batch(old(sample_events.about("ec2-state-running", [NO_INSTANCE])))
    redelivered["Records"][0]["attributes"]["ApproximateReceiveCount"] = "2"
    no_time = {key: value for key, value in sample_events.about("ec2-state-running", ids[:1]).items() if key != "time"}
    found = documents(
        function,
        sample_events.batch(json.dumps(no_time)),
        sample_events.about("ec2-launch-one", ids[:1]),
        # The one that is blocked.
        sample_events.about("ec2-launch-one", ids[4:5]),
        came_to_run(*ids, *exempt, *warned, terminated),
        redelivered,
        came_to_run(NO_INSTANCE),
        sample_events.about("imds-enforcer-sweep", []),
    )
    sim.fault(action="AssumeRole", kind="deny")
    foreign = start(Function, sim.url, AWS_ENDPOINT_URL_STS=sim.url, IMDS_MEMBER_ROLE="imds-enforcer-member")
    found += documents(foreign, came_to_run(*ids[:1]))
    dry = start(Function, sim.url, IMDS_MODE="dry-run")
    sim.control("DELETE", "faults")
    launched = sample_events.about("ec2-launch-one", running(ec2))
    found += documents(dry, launched, sample_events.about("imds-enforcer-sweep", []))
    slow = start(Ec2Sim, "--apply-delay", "60000", "--start-delay", "50", "--state-delay", "50")
    waiting = start(Function, slow.url, IMDS_VERIFY_SECONDS="1")
    (unapplied,) = launch(ec2_client(slow.url))
    wait_for_state(ec2_client(slow.url), unapplied, "running")
    first = sample_events.about("imds-enforcer-sweep", [])
    again = sample_events.batch(old(sample_events.about("ec2-state-running", [unapplied])))
    again["Records"][0]["attributes"]["ApproximateReceiveCount"] = "2"
    return Written(found + documents(waiting, first, again) + of_gate_watch_and_limits(start))


def of_gate_watch_and_limits(start) -> list[dict]:
    """The lines of sweeps with instances in use, more changes than are allowed, refused calls, and failures."""
    sim = start(Ec2Sim, "--apply-delay", "300", "--start-delay", "50", "--state-delay", "50")
    soon = datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=7)
    policy = {
        "baseline": {"HttpTokens": "required"},
        "usageGate": {"until": soon.isoformat()},
        "limits": {"changesPerSweep": 1},
    }
    function = start(Function, sim.url, IMDS_POLICY_FILE="", IMDS_POLICY=json.dumps(policy))
    sim.publish_days("MetadataNoToken", sim.ran_before(days=90, HttpTokens="optional"), 40)
    sim.publish_days("MetadataNoTokenRejected", sim.ran_before(days=90, HttpTokens="required"), 37)
    # Not gated, as they are new.
    running(ec2_client(sim.url), 3)
    found = documents(function, sample_events.about("imds-enforcer-sweep-watch", []))
    sim.fault(action=MODIFY, kind="deny")
    policy |= {"limits": {"changesPerSweep": 10, "failuresPerSweep": 1}}
    stopped = start(Function, sim.url, IMDS_POLICY_FILE="", IMDS_POLICY=json.dumps(policy))
    found += documents(stopped, sample_events.about("imds-enforcer-sweep", []))
    # Nothing listens there, so that the event is lost which tells of the denied change.
    untold = start(Function, sim.url, IMDS_OUTCOME_BUS="outcomes", AWS_ENDPOINT_URL_EVENTBRIDGE="http://127.0.0.1:9")
    return found + documents(untold, sample_events.about("ec2-launch-one", running(ec2_client(sim.url))))
