"""The hub and its members: an event of a member's account goes to the hub, and the hub's function back to the member.

ministack knows neither EventBusPolicy nor StackSet. So the hub is deployed without these resources, and the stack that
the stack set would deploy is deployed by hand, with the parameters that it would pass. Who may put events on the hub's
bus, and who may assume the members' role, is for tests/python/test_hub.py.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from cloud import BUILT, Cloud, Stack
from ec2_words import launch, running
from processes import ROOT, until

MEMBER = "444455556666"
REGIONS = ("us-east-1", "eu-west-1")
UNKNOWN = {"AWS::Events::EventBusPolicy", "AWS::CloudFormation::StackSet"}
OPTIONAL = {"HttpTokens": "optional"}


@dataclass
class Organization:
    hub: Stack
    # By Region.
    members: dict[str, Stack]


def without_unknown(template: dict) -> dict:
    """The template without what ministack does not know, and with what the stack set would pass as outputs.

    CloudFormation resolves outputs, so that what a member gets is not worked out by the test.
    """
    resources = template["Resources"]
    removed = {name: resources.pop(name) for name in list(resources) if resources[name]["Type"] in UNKNOWN}
    assert {resource["Type"] for resource in removed.values()} == UNKNOWN
    for resource in resources.values():
        before = resource.pop("DependsOn", [])
        after = [name for name in ([before] if isinstance(before, str) else before) if name not in removed]
        if after:
            resource["DependsOn"] = after
    names = "|".join(removed)
    refers = re.compile(rf'"Ref": "({names})"|"Fn::GetAtt": \["({names})"|\$\{{({names})[.}}]')
    outputs = template["Outputs"]
    template["Outputs"] = {name: output for name, output in outputs.items() if not refers.search(json.dumps(output))}
    assert not refers.search(json.dumps(template)), "nothing else refers to them"
    (stack_set,) = (r["Properties"] for r in removed.values() if r["Type"] == "AWS::CloudFormation::StackSet")
    for parameter in stack_set["Parameters"]:
        template["Outputs"][f"Passed{parameter['ParameterKey']}"] = {"Value": parameter["ParameterValue"]}
    template["Outputs"]["PassedTemplate"] = {"Value": stack_set["TemplateURL"]}
    return template


def package(cloud: Cloud, folder: Path) -> dict:
    """The template as `sam deploy` packages it."""
    path = folder / "packaged.json"
    cloud.client("s3").create_bucket(Bucket="packages")
    ended = cloud.run(
        *("sam", "package", "--config-file", ROOT / "samconfig.toml", "--template-file", BUILT / "template.yaml"),
        *("--s3-bucket", "packages", "--no-resolve-s3", "--use-json", "--output-template-file", path),
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(path.read_text())


def deploy_member(cloud: Cloud, hub: Stack, region: str) -> Stack:
    """What the stack set would deploy."""
    passed = {name.removeprefix("Passed"): value for name, value in hub.outputs.items() if name.startswith("Passed")}
    bucket, key = passed.pop("Template").split("/")[-2:]
    template = cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    assert template == (ROOT / "stackset" / "member.yaml").read_text()
    name = "StackSet-imds-enforcer-members-9f0cd3f7-1c52-4f5c-8b8e-0b6f3c8a4d11"
    cloudformation = cloud.client("cloudformation", MEMBER, region)
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=template,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in passed.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    return Stack(cloud, name, MEMBER, region)


@pytest.fixture(scope="module")
def organization(cloud, tmp_path_factory) -> Organization:
    folder = tmp_path_factory.mktemp("hub")
    template = folder / "template.json"
    template.write_text(json.dumps(without_unknown(package(cloud, folder))))
    hub = cloud.sam_deploy(
        template,
        OrganizationId="o-abcdefghij",
        TargetUnits="ou-ab12-abcdefgh",
        MemberRegions=",".join(REGIONS),
    )
    return Organization(hub, {region: deploy_member(cloud, hub, region) for region in REGIONS})


@pytest.fixture(autouse=True)
def done(organization):
    """After each test, nothing is left to do, and every event reached the hub."""
    yield
    organization.hub.settle()
    for member in organization.members.values():
        assert not member.messages()


@pytest.mark.parametrize("region", REGIONS)
def test_a_launch_in_a_member_is_enforced_by_the_hub(organization, region):
    hub, member = organization.hub, organization.members[region]
    (instance_id,) = launch(member.ec2, options=OPTIONAL)
    member.wait_until_enforced(instance_id)
    hub.settle()
    outcomes = hub.outcomes(instance_id)
    assert {(o["account"], o["region"]) for o in outcomes} == {(MEMBER, region)}
    assert {o["trigger"] for o in outcomes} <= {"launch", "state-change"}, "our own change is no drift"
    # One role for all Regions: IAM refuses a second role with the same name.
    assert [of for of in REGIONS if "MemberRole" in organization.members[of].ids] == ["us-east-1"]
    role = organization.members["us-east-1"].role_arn("MemberRole")
    changes = hub.changes(instance_id)
    assert {(c["account"], c["region"], c["role"]) for c in changes} == {(MEMBER, region, role)}
    assumed = [c for c in hub.cloud.sim.calls("AssumeRole") if c["parameters"]["RoleArn"] == role]
    assert {c["role"] for c in assumed} == {hub.role_arn("EnforcerRole")}


def test_drift_in_a_member_is_undone(organization):
    hub, member = organization.hub, organization.members["eu-west-1"]
    (instance_id,) = running(member.ec2, options={"HttpTokens": "required"})
    hub.settle()
    member.ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional")
    until("the change", lambda: hub.changes(instance_id))
    member.wait_until_enforced(instance_id)
    hub.settle()
    assert [o["outcome"] for o in hub.outcomes(instance_id) if o["trigger"] == "drift"] == ["enforced"]
    assert len(hub.changes(instance_id)) == 1


def test_the_hubs_own_account_is_enforced_without_a_member_role(organization):
    hub = organization.hub
    (instance_id,) = launch(hub.ec2, options=OPTIONAL)
    hub.wait_until_enforced(instance_id)
    hub.settle()
    assert {c["role"] for c in hub.changes(instance_id)} == {hub.role_arn("EnforcerRole")}


@pytest.mark.parametrize(("schedule", "detail"), [("Schedule", {}), ("WatchSchedule", {"watch": True})])
def test_a_members_schedule_sweeps_its_account_and_region_alone(organization, schedule, detail):
    hub, member = organization.hub, organization.members["eu-west-1"]
    # Events are missed, as the member's rules are disabled.
    events = member.client("events")
    for rule in ("LaunchRule", "StateRule"):
        events.disable_rule(Name=member.ids[rule])
    (instance_id,) = running(member.ec2, options=OPTIONAL)
    hub.cloud.sim.forget_calls()
    # Sends what Scheduler would send to the schedule's target.
    target = member.client("scheduler").get_schedule(Name=member.ids[schedule])["Target"]
    assert json.loads(target["Input"]) == detail
    assert target["Arn"] == f"arn:aws:events:eu-west-1:{MEMBER}:event-bus/default"
    entry = {
        "EventBusName": target["Arn"],
        "Source": target["EventBridgeParameters"]["Source"],
        "DetailType": target["EventBridgeParameters"]["DetailType"],
        "Detail": target["Input"],
    }
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    member.wait_until_enforced(instance_id)
    hub.settle()
    for rule in ("LaunchRule", "StateRule"):
        events.enable_rule(Name=member.ids[rule])
    role = organization.members["us-east-1"].role_arn("MemberRole")
    swept = {
        (c["account"], c["region"], c["role"])
        for c in hub.cloud.sim.calls()
        if c["action"] != "AssumeRole" and c.get("role")
    }
    assert swept == {(MEMBER, "eu-west-1", role)}
    (outcome,) = hub.outcomes(instance_id, log="SweeperLogName")
    assert (outcome["account"], outcome["region"], outcome["trigger"]) == (MEMBER, "eu-west-1", "sweep")


def test_a_retry_policy_on_a_bus_would_fail_the_members_stack(organization):
    """As on AWS, so that a deployment here shows what a deployment there would."""
    member = organization.members["us-east-1"]
    events = member.client("events")
    target = {"Id": "Hub", "Arn": organization.hub.outputs["HubBusArn"], "RoleArn": member.role_arn("ForwardRole")}
    with pytest.raises(events.exceptions.ClientError, match="Retry policy is not supported for Event bus targets"):
        policy = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
        events.put_targets(Rule=member.ids["LaunchRule"], Targets=[target | {"RetryPolicy": policy}])
