"""Which events the rules of the template let through, by a matcher that nobody here wrote: LocalStack's.

Runs apart from the other tests, since LocalStack's packages and theirs exclude each other. TEMPLATE_JSON names the
template as JSON.
"""

import copy
import json
import re
import sys
from pathlib import Path

import pytest
from localstack.services.events.event_rule_engine import EventPatternCompiler, EventRuleEngine

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))
from cfn import Filled, load  # noqa: E402


def role(name: str) -> str:
    return f"arn:aws:iam::111122223333:role/{name}"


TEMPLATES = {
    "account": Filled(
        OrganizationId="o-abcdefghij",
        TargetUnits="ou-ab12-11111111",
        AlarmTopicArn="arn:aws:sns:us-east-1:111122223333:alarms",
    ),
    "member": Filled(load("MEMBER_JSON"), HubRoleArns=f"{role('EnforcerRole')},{role('SweeperRole')}"),
}
LAUNCH, STATE, DRIFT, TAG, SWEEP = "LaunchRule", "StateRule", "DriftRule", "TagRule", "sweep"
# What each template calls the rule of sweeps on demand.
SWEEP_RULES = {"account": "SweepDemandRule", "member": "SweepRule"}

# The files of events/ and the rules that let them through.
FILES = {
    "ec2-launch-auto-scaling": [LAUNCH],
    "ec2-launch-cut-off": [LAUNCH],
    "ec2-launch-failed": [],
    "ec2-launch-many": [LAUNCH],
    "ec2-launch-one": [LAUNCH],
    "ec2-modify-options": [DRIFT],
    "ec2-state-running": [STATE],
    "ec2-state-stopped": [STATE],
    "ec2-state-terminated": [],
    # A schedule sends it to its target by itself.
    "events-scheduled": [],
    "imds-enforcer-sweep": [SWEEP],
    "imds-enforcer-sweep-watch": [SWEEP],
    "s3-unrelated": [],
    # What SQS makes of events; no event.
    "sqs-batch": [],
    "tag-change": [TAG],
    "tag-change-unread": [TAG],
}


def resolved(pattern):
    """The pattern with the ARNs of our roles in place of the references to them."""
    match pattern:
        case {"Fn::GetAtt": [name, "Arn"]}:
            return role(name)
        case dict():
            return {key: resolved(value) for key, value in pattern.items()}
        case list():
            return [resolved(item) for item in pattern]
    return pattern


def patterns(template: Filled, is_of_bus=lambda properties: "EventBusName" not in properties) -> dict:
    rules = {
        name: rule
        for name, rule in template.of_type("AWS::Events::Rule").items()
        if "EventPattern" in rule and is_of_bus(rule)
    }
    return {
        name: EventPatternCompiler().compile_event_pattern(json.dumps(resolved(rule["EventPattern"])))
        for name, rule in rules.items()
    }


# The rules on the default bus; of failed stacks, tests of its own tell.
PATTERNS = {name: patterns(template) for name, template in TEMPLATES.items()}
STACK = PATTERNS["account"].pop("MemberStackRule")
# Those on the hub's bus, for what members forward.
HUB = patterns(TEMPLATES["account"], lambda properties: "EventBusName" in properties)


def matching(event: dict, of: dict) -> list[str]:
    return [name for name, pattern in of.items() if EventRuleEngine().evaluate_pattern_on_event(pattern, event)]


def check(event: dict, template: str, expected: list[str]):
    """The template's rules let the event through as expected; what a member forwards, the hub takes up once."""
    names = [SWEEP_RULES[template] if rule == SWEEP else rule for rule in expected]
    assert matching(event, PATTERNS[template]) == names
    if template == "member" and names:
        assert matching(event, HUB) == ["MemberSweepRule" if expected == [SWEEP] else "MemberEventRule"]


def sample(name: str) -> dict:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def test_every_file_and_every_pattern_has_its_row():
    assert sorted(FILES) == sorted(path.stem for path in (ROOT / "events").iterdir())
    for template, found in PATTERNS.items():
        assert sorted(found) == sorted([LAUNCH, STATE, DRIFT, TAG, SWEEP_RULES[template]])
    assert sorted(HUB) == ["MemberEventRule", "MemberSweepRule"]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", FILES)
def test_files(name, template):
    check(sample(name), template, FILES[name])


def changed(name: str, **changes) -> dict:
    """The sample with these values at dotted paths; None takes away what is there."""
    event = copy.deepcopy(sample(name))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = event
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return event


def by(identity: dict) -> dict:
    """A change of an instance's options by this identity."""
    return changed("ec2-modify-options", detail__userIdentity=identity)


def assumed(arn: str) -> dict:
    session = {"sessionIssuer": {"type": "Role", "arn": arn}, "attributes": {"mfaAuthenticated": "false"}}
    return {"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/x/y", "sessionContext": session}


NEAR = {
    "another call": (changed("ec2-launch-one", detail__eventName="StartInstances"), []),
    "another call about options": (
        changed("ec2-modify-options", detail__eventName="ModifyInstanceMetadataDefaults"),
        [],
    ),
    "a launch that another service recorded": (changed("ec2-launch-one", source="aws.autoscaling"), []),
    "a launch that was refused": (changed("ec2-launch-one", detail__errorCode="Client.InstanceLimitExceeded"), []),
    "a launch without an answer to read": (changed("ec2-launch-one", detail__responseElements=None), [LAUNCH]),
    "pending": (changed("ec2-state-running", detail__state="pending"), []),
    "stopping": (changed("ec2-state-running", detail__state="stopping"), []),
    "a spot interruption": (
        changed("ec2-state-running", **{"detail-type": "EC2 Spot Instance Interruption Warning"}),
        [],
    ),
    "another role": (by(assumed(role("Admin"))), [DRIFT]),
    "an IAM user": (by({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/eve", "userName": "eve"}), [DRIFT]),
    "an IAM user with a session": (
        by({"type": "IAMUser", "userName": "eve", "sessionContext": {"attributes": {"mfaAuthenticated": "true"}}}),
        [DRIFT],
    ),
    "root": (by({"type": "Root", "arn": "arn:aws:iam::111122223333:root"}), [DRIFT]),
    "an AWS service": (by({"type": "AWSService", "invokedBy": "ssm.amazonaws.com"}), [DRIFT]),
    "a change that was refused": (
        changed("ec2-modify-options", detail__errorCode="Client.UnauthorizedOperation"),
        [],
    ),
    "a dry run": (changed("ec2-modify-options", detail__errorCode="Client.DryRunOperation"), []),
    "tags of a volume": (changed("tag-change", **{"detail__resource-type": "volume"}), []),
    "tags of another service": (changed("tag-change", detail__service="rds"), []),
    "tags as CloudTrail has them": (changed("ec2-launch-one", detail__eventName="CreateTags"), []),
    "a sweep of someone else": (changed("imds-enforcer-sweep", source="imds"), []),
    "something else of ours": (changed("imds-enforcer-sweep", **{"detail-type": "Swept"}), []),
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", NEAR)
def test_near_misses_and_hits(name, template):
    event, expected = NEAR[name]
    check(event, template, expected)


OURS = {
    "account": ["EnforcerRole", "SweeperRole"],
    # In the hub's own account the hub's roles act themselves.
    "member": ["imds-enforcer-member", "EnforcerRole", "SweeperRole"],
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_our_own_changes_are_no_drift(template):
    for name in OURS[template]:
        check(by(assumed(role(name))), template, [])
        check(by(assumed(role(name + "2"))), template, [DRIFT])
        check(by(assumed(f"arn:aws:iam::444455556666:role/{name}")), template, [DRIFT])


@pytest.mark.parametrize("name", NEAR)
def test_the_hub_takes_up_nothing_that_a_member_need_not_forward(name):
    event, expected = NEAR[name]
    ours = {SWEEP: ["MemberSweepRule"]}
    assert matching(event, HUB) == ([] if not expected else ours.get(expected[0], ["MemberEventRule"]))


def test_the_hub_takes_up_nothing_else():
    for event in (sample("s3-unrelated"), sample("events-scheduled"), NEAR["something else of ours"][0]):
        assert matching(event, HUB) == []


# ---- The daily sweep with the watch ----


def test_the_schedule_of_the_watch_sends_a_sweep_of_its_own_account_and_region():
    """A scheduled rule's input is fixed text, unless a transformer takes account, Region and time from the event."""
    rule = TEMPLATES["account"].of_type("AWS::Events::Rule")["WatchScheduleRule"]
    assert rule["ScheduleExpression"] == "rate(1 day)", "the watch reads the last 24 hours"
    (target,) = rule["Targets"]
    transformer, scheduled = target["InputTransformer"], sample("events-scheduled")
    assert all(path == f"$.{name}" for name, path in transformer["InputPathsMap"].items())
    values = {name: scheduled[name] for name in transformer["InputPathsMap"]}
    # EventBridge adds the quotation marks. tests/deployed has an emulator do it.
    sent = json.loads(re.sub(r"<(\w+)>", lambda match: json.dumps(values[match[1]]), transformer["InputTemplate"]))
    assert sent == sample("imds-enforcer-sweep-watch") | values
    assert values.keys() == {"id", "account", "region", "time"}


def test_the_members_schedule_of_the_watch_sends_a_sweep_that_is_forwarded():
    schedule = TEMPLATES["member"].of_type("AWS::Scheduler::Schedule")["WatchSchedule"]
    assert schedule["ScheduleExpression"] == "rate(1 day)", "the watch reads the last 24 hours"
    parameters, text = schedule["Target"]["EventBridgeParameters"], schedule["Target"]["Input"]
    sent = changed(
        "imds-enforcer-sweep-watch",
        **{"source": parameters["Source"], "detail-type": parameters["DetailType"], "detail": json.loads(text)},
    )
    assert sent == sample("imds-enforcer-sweep-watch")
    check(sent, "member", [SWEEP])


def stack_instance(status: str, stack_set: str = "s-members") -> dict:
    """As the CloudFormation user guide has it, "StackSet Stack Instance Status Change event detail"."""
    arn = "arn:aws:cloudformation:us-east-1:111122223333"
    return {
        "version": "0",
        "source": "aws.cloudformation",
        "detail-type": "CloudFormation StackSet StackInstance Status Change",
        "account": "111122223333",
        "region": "us-east-1",
        "detail": {
            "stack-set-arn": f"{arn}:stackset/{stack_set}:01234567-89ab-cdef-0123-456789abcdef",
            "stack-id": "arn:aws:cloudformation:us-east-1:444455556666:stack/StackSet-s-members-1/0",
            "action": "CREATE",
            "status-details": {"status": "OUTDATED", "status-reason": "no", "detailed-status": status},
        },
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (stack_instance("FAILED"), True),
        (stack_instance("CANCELLED"), False),
        (stack_instance("INOPERABLE"), True),
        (stack_instance("SUCCEEDED"), False),
        (stack_instance("RUNNING"), False),
        (stack_instance("FAILED", "other-members"), False),
        (stack_instance("FAILED", "s-members-2"), False),
    ],
)
def test_every_failed_stack_of_a_member_is_told(event, expected):
    assert EventRuleEngine().evaluate_pattern_on_event(STACK, event) is expected
