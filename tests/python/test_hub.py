"""The hub and its members: that they agree, and who may do what between them."""

import re
from itertools import chain

import pytest
from cfn import PSEUDO, Filled, as_list, attribute, load
from iam import is_allowed
from processes import ROOT

HUB, MEMBER, OTHER = "111122223333", "444455556666", "777788889999"
ORGANIZATION = "o-abcdefghij"
UNITS = ["ou-ab12-11111111", "ou-ab12-22222222"]
ROLES = [f"arn:aws:iam::{HUB}:role/hub-EnforcerRole-1", f"arn:aws:iam::{HUB}:role/hub-SweeperRole-1"]


def hub(**parameters: str) -> Filled:
    filled = {"OrganizationId": ORGANIZATION, "TargetUnits": ",".join(UNITS), "MemberRegions": "us-east-1,eu-west-1"}
    return Filled(**filled | parameters)


def member(region: str = "us-east-1", **parameters: str) -> Filled:
    filled = {
        "HubBusArn": f"arn:aws:events:us-east-1:{HUB}:event-bus/imds-enforcer",
        "HubAccountId": HUB,
        "HubRoleArns": ",".join(ROLES),
        "OrganizationId": ORGANIZATION,
        "Regions": "us-east-1,eu-west-1",
        "RoleRegion": "us-east-1",
    }
    return Filled(load("MEMBER_JSON"), region, **filled | parameters)


def values(value) -> list:
    """Every plain value somewhere in it."""
    if isinstance(value, dict):
        return list(chain.from_iterable(map(values, value.values())))
    return list(chain.from_iterable(map(values, value))) if isinstance(value, list) else [value]


def test_without_an_organization_there_is_no_hub():
    for filled in (Filled(), Filled(OrganizationId=ORGANIZATION), Filled(TargetUnits=UNITS[0])):
        kinds = {resource["Type"] for resource in filled.resources.values()}
        assert not kinds & {"AWS::Events::EventBus", "AWS::Events::EventBusPolicy", "AWS::CloudFormation::StackSet"}
        assert not any("-member" in str(value) for value in values(filled.resources))
        assert "sts:AssumeRole" not in values(filled.of_type("AWS::IAM::ManagedPolicy"))


def test_the_member_template_fits_a_stack_set():
    template = load("MEMBER_JSON")
    assert (ROOT / "stackset" / "member.yaml").stat().st_size < 51_200
    assert "Transform" not in template
    assert not any(resource["Type"].startswith("AWS::Serverless") for resource in template["Resources"].values())


def test_the_stack_set_rolls_out_what_the_member_asks_for_and_survives_a_bad_account():
    (stack_set,) = hub().of_type("AWS::CloudFormation::StackSet").values()
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack_set["Parameters"]}
    known = load("MEMBER_JSON")["Parameters"]
    assert {name for name, p in known.items() if "Default" not in p} <= parameters.keys() <= known.keys()
    assert parameters["Regions"] == "us-east-1,eu-west-1"
    assert parameters["RoleRegion"] == "us-east-1"
    assert parameters["HubRoleArns"] == {"Fn::Sub": "${EnforcerRole.Arn},${SweeperRole.Arn}"}
    (group,) = stack_set["StackInstancesGroup"]
    assert group["Regions"] == ["us-east-1", "eu-west-1"]
    assert group["DeploymentTargets"]["OrganizationalUnitIds"] == UNITS
    assert stack_set["AutoDeployment"]["Enabled"] is True
    preferences = stack_set["OperationPreferences"]
    assert (preferences["FailureTolerancePercentage"], preferences["MaxConcurrentPercentage"]) == ("100", "25")
    (careful,) = hub(FailureTolerancePercentage="0").of_type("AWS::CloudFormation::StackSet").values()
    assert careful["OperationPreferences"]["FailureTolerancePercentage"] == "0"
    (alone,) = hub(MemberRegions="").of_type("AWS::CloudFormation::StackSet").values()
    assert alone["StackInstancesGroup"][0]["Regions"] == ["us-east-1"]


def test_the_role_is_made_in_one_region_and_nothing_else_has_a_name():
    assert "MemberRole" in member("us-east-1").resources
    assert "MemberRole" not in member("eu-west-1").resources
    for regions in ("eu-west-1,us-east-1", "eu-west-1,us-east-1,ap-south-1"):
        assert "MemberRole" in member("us-east-1", Regions=regions).resources, "whatever becomes of the list"
        assert "MemberRole" not in member("eu-west-1", Regions=regions).resources
    names = re.compile(r"Name$")
    for region in ("us-east-1", "eu-west-1"):
        for logical, resource in member(region).resources.items():
            named = {key for key in resource["Properties"] if names.search(key) and key not in ("MetricName",)}
            # A schedule is of one Region.
            expected = {"MemberRole": {"RoleName"}, "Schedule": {"Name"}, "WatchSchedule": {"Name"}}.get(logical, set())
            assert named == expected, f"{logical} in {region}: {named}"


def statements_of_bus(filled: Filled) -> dict[str, dict]:
    policies = filled.of_type("AWS::Events::EventBusPolicy").values()
    return {policy["StatementId"]: policy["Statement"] for policy in policies}


@pytest.mark.parametrize(("prefix", "path"), [("imds-enforcer", "/"), ("staging", "/platform/security/")])
def test_hub_and_members_agree_on_every_name(prefix, path):
    names = {"NamePrefix": prefix, "IamPath": path}
    ours, theirs = hub(**names), member(**names)
    role = theirs.of_type("AWS::IAM::Role")["MemberRole"]
    assert (role["RoleName"], role["Path"]) == (f"{prefix}-member", path)
    full = f"{path}{prefix}-member"
    variables = ours.template["Globals"]["Function"]["Environment"]["Variables"]
    assert ours.fill(variables)["IMDS_MEMBER_ROLE"] == full, "the function takes a path, with a slash before it"
    (access,) = ours.of_type("AWS::IAM::ManagedPolicy").values()
    become = [s for s in access["PolicyDocument"]["Statement"] if s["Action"] == "sts:AssumeRole"]
    assert [s["Resource"] for s in become] == [f"arn:aws:iam::*:role{full}"]
    drift = theirs.of_type("AWS::Events::Rule")["DriftRule"]["EventPattern"]
    assert f"arn:aws:iam::{HUB}:role{full}" in values(drift), "this account's, which is the tests' own"

    (bus,) = ours.of_type("AWS::Events::EventBus").values()
    assert bus["Name"] == prefix
    condition = statements_of_bus(ours)[f"{prefix}-Members"]["Condition"]
    forwarding = theirs.of_type("AWS::IAM::Role")["ForwardRole"]["Path"]
    assert condition["ArnLike"]["aws:PrincipalArn"] == f"arn:aws:iam::*:role{forwarding}*"
    forwarded = {s for rule in theirs.of_type("AWS::Events::Rule").values() for s in rule["EventPattern"]["source"]}
    assert forwarded == set(condition["ForAllValues:StringEquals"]["events:source"])

    sweep = theirs.of_type("AWS::Events::Rule")["SweepRule"]["EventPattern"]
    schedules = theirs.of_type("AWS::Scheduler::Schedule")
    assert schedules.keys() == {"Schedule", "WatchSchedule"}
    for name, schedule in schedules.items():
        parameters = schedule["Target"]["EventBridgeParameters"]
        assert ([parameters["Source"]], [parameters["DetailType"]]) == (sweep["source"], sweep["detail-type"]), name


def test_the_stack_set_passes_on_what_hub_and_members_share():
    shared = hub().template["Parameters"].keys() & load("MEMBER_JSON")["Parameters"].keys()
    assert shared >= {"NamePrefix", "IamPath", "PermissionsBoundaryArn", "AllowLoosening", "SweepSchedule"}
    given = {name: f"given-{name}" for name in shared - {"AlarmTopicArn", "OrganizationId", "RoleRegion"}}
    given["HopLimitCeiling"] = "5"
    (stack_set,) = hub(**given).of_type("AWS::CloudFormation::StackSet").values()
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in stack_set["Parameters"]}
    assert {name: parameters[name] for name in given} == given
    (stack_set,) = hub(MemberAlarmTopicArn="topic").of_type("AWS::CloudFormation::StackSet").values()
    assert {"ParameterKey": "AlarmTopicArn", "ParameterValue": "topic"} in stack_set["Parameters"]


BOUNDARY = "arn:aws:iam::111122223333:policy/platform/boundary"


@pytest.mark.parametrize(
    ("given", "of_hub", "of_member"),
    [
        ("", None, None),
        (BOUNDARY, BOUNDARY, BOUNDARY.replace(HUB, MEMBER)),
        ("arn:aws:iam::aws:policy/PowerUserAccess",) * 3,
    ],
)
def test_every_role_has_the_permissions_boundary_of_its_own_account(monkeypatch, given, of_hub, of_member):
    roles = hub(PermissionsBoundaryArn=given).of_type("AWS::IAM::Role")
    assert {name: role.get("PermissionsBoundary") for name, role in roles.items()} == dict.fromkeys(roles, of_hub)
    monkeypatch.setitem(PSEUDO, "AWS::AccountId", MEMBER)
    roles = member(PermissionsBoundaryArn=given).of_type("AWS::IAM::Role")
    assert {name: role.get("PermissionsBoundary") for name, role in roles.items()} == dict.fromkeys(roles, of_member)


def test_every_role_and_policy_has_the_path():
    for filled in (hub(IamPath="/platform/"), member(IamPath="/platform/")):
        entities = filled.of_type("AWS::IAM::Role") | filled.of_type("AWS::IAM::ManagedPolicy")
        for name, entity in entities.items():
            assert entity["Path"] == ("/platform/imds-enforcer/" if name == "ForwardRole" else "/platform/"), name


def test_every_target_of_a_member_has_dead_letters_that_take_them_and_an_alarm():
    filled = member()
    rules = filled.of_type("AWS::Events::Rule")
    for name, rule in rules.items():
        (target,) = rule["Targets"]
        assert target["Arn"] == filled.parameters["HubBusArn"], name
        assert target["RoleArn"] == attribute("ForwardRole"), name
        assert target["DeadLetterConfig"] == {"Arn": attribute("DeadLetters")}, name
    (policy,) = filled.of_type("AWS::SQS::QueuePolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    senders = statement["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert sorted(s["Fn::GetAtt"][0] for s in senders) == sorted(rules)
    for name, schedule in filled.of_type("AWS::Scheduler::Schedule").items():
        assert schedule["Target"]["DeadLetterConfig"] == {"Arn": attribute("DeadLetters")}, name
        assert schedule["Target"]["RoleArn"] == attribute("ScheduleRole"), name
    (alarm,) = filled.of_type("AWS::CloudWatch::Alarm").values()
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": attribute("DeadLetters", "QueueName")}]


def test_rules_of_members_and_of_the_hubs_own_account_are_the_same():
    ours, theirs = Filled().of_type("AWS::Events::Rule"), member().of_type("AWS::Events::Rule")
    for name in ("LaunchRule", "StateRule", "TagRule"):
        assert ours[name]["EventPattern"] == theirs[name]["EventPattern"], name
    assert ours["SweepDemandRule"]["EventPattern"] == theirs["SweepRule"]["EventPattern"]


FORWARDER = f"arn:aws:iam::{MEMBER}:role/imds-enforcer/member-ForwardRole-1"
EXECUTION = f"arn:aws:iam::{MEMBER}:role/stacksets-exec-0123456789abcdef"
# Of an account in the first unit, of one in a unit below the second, and of one elsewhere in the organization.
PATHS = {
    "unit": [f"{ORGANIZATION}/r-ab12/{UNITS[0]}/"],
    "below": [f"{ORGANIZATION}/r-ab12/{UNITS[1]}/ou-ab12-33333333/"],
    "elsewhere": [f"{ORGANIZATION}/r-ab12/ou-ab12-99999999/"],
    "management": [f"{ORGANIZATION}/r-ab12/"],
}


@pytest.mark.parametrize(
    ("row", "context", "expected"),
    [
        ("a member's forwarding role", {}, True),
        ("one of a unit below", {"aws:PrincipalOrgPaths": PATHS["below"]}, True),
        ("its sweep", {"events:source": ["imds-enforcer"]}, True),
        ("an account outside of the units", {"aws:PrincipalOrgPaths": PATHS["elsewhere"]}, False),
        ("the management account", {"aws:PrincipalOrgPaths": PATHS["management"]}, False),
        ("another organization", {"aws:PrincipalOrgID": "o-zzzzzzzzzz"}, False),
        ("no organization", {"aws:PrincipalOrgID": None, "aws:PrincipalOrgPaths": None}, False),
        ("another role", {"aws:PrincipalArn": f"arn:aws:iam::{MEMBER}:role/Admin"}, False),
        ("the StackSets' role", {"aws:PrincipalArn": EXECUTION}, False),
        ("a role named so", {"aws:PrincipalArn": f"arn:aws:iam::{MEMBER}:role/imds-enforcer-x"}, False),
        ("another source", {"events:source": ["aws.s3"]}, False),
        ("one source of ours, one of another", {"events:source": ["aws.ec2", "aws.s3"]}, False),
    ],
)
def test_who_may_send_events_to_the_hub(row, context, expected):
    usual = {
        "aws:PrincipalOrgID": ORGANIZATION,
        "aws:PrincipalOrgPaths": PATHS["unit"],
        "aws:PrincipalArn": FORWARDER,
        "events:source": ["aws.ec2"],
    }
    assert may_put_events(hub(), usual | context) is expected, row


@pytest.mark.parametrize(
    ("row", "context", "expected"),
    [
        ("StackSets", {}, True),
        ("CloudFormation as a person's role", {"aws:PrincipalArn": f"arn:aws:iam::{MEMBER}:role/Admin"}, True),
        ("the forwarding role", {"aws:PrincipalArn": FORWARDER}, True),
        ("an account outside of the units", {"aws:PrincipalOrgPaths": PATHS["elsewhere"]}, False),
        ("another organization", {"aws:PrincipalOrgID": "o-zzzzzzzzzz"}, False),
        ("no organization", {"aws:PrincipalOrgID": None, "aws:PrincipalOrgPaths": None}, False),
    ],
)
def test_the_bus_policy_holds_when_a_target_is_made(row, context, expected):
    """EventBridge checks it then, with the creating principal and without an event."""
    usual = {
        "aws:PrincipalOrgID": ORGANIZATION,
        "aws:PrincipalOrgPaths": PATHS["unit"],
        "aws:PrincipalArn": EXECUTION,
    }
    assert may_put_events(hub(), usual | context) is expected, row


def test_the_root_as_a_unit_admits_the_whole_organization():
    filled = hub(TargetUnits="r-ab12")
    for paths in PATHS.values():
        context = {"aws:PrincipalOrgID": ORGANIZATION, "aws:PrincipalOrgPaths": paths, "aws:PrincipalArn": FORWARDER}
        assert may_put_events(filled, context | {"events:source": ["aws.ec2"]})
    assert not may_put_events(filled, {"aws:PrincipalOrgID": ORGANIZATION, "aws:PrincipalOrgPaths": ["o-a/r-xab1/"]})


def may_put_events(filled: Filled, context: dict) -> bool:
    present = {key: value for key, value in context.items() if value is not None}
    statements = [statement | {"Resource": "*"} for statement in statements_of_bus(filled).values()]
    return is_allowed(statements, "events:PutEvents", "*", present)


@pytest.mark.parametrize(
    ("row", "context", "expected"),
    [
        ("the hub's function", {}, True),
        ("the hub's sweeper", {"aws:PrincipalArn": ROLES[1]}, True),
        ("another role of the hub's account", {"aws:PrincipalArn": f"arn:aws:iam::{HUB}:role/Admin"}, False),
        ("the function, outside of the organization", {"aws:PrincipalOrgID": None}, False),
        ("a role of that name elsewhere", {"aws:PrincipalArn": ROLES[0].replace(HUB, OTHER)}, False),
    ],
)
def test_who_may_become_the_member_role(row, context, expected):
    trust = member().of_type("AWS::IAM::Role")["MemberRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert [s["Principal"] for s in trust] == [{"AWS": f"arn:aws:iam::{HUB}:root"}]
    usual = {"aws:PrincipalArn": ROLES[0], "aws:PrincipalOrgID": ORGANIZATION}
    present = {key: value for key, value in (usual | context).items() if value is not None}
    assert is_allowed(trust, "sts:AssumeRole", "*", present) is expected, row


@pytest.mark.parametrize(
    ("allow_loosening", "tokens", "region", "expected"),
    [
        ("false", "required", "eu-west-1", True),
        ("false", "optional", "eu-west-1", False),
        ("false", None, "us-east-1", True),
        ("false", "required", "ap-south-1", False),
        ("true", "optional", "us-east-1", True),
    ],
)
def test_what_the_member_role_may_do(allow_loosening, tokens, region, expected):
    filled = member(AllowLoosening=allow_loosening)
    role = filled.of_type("AWS::IAM::Role")["MemberRole"]
    statements = [s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    context = {"ec2:Region": region} | ({} if tokens is None else {"ec2:Attribute/HttpTokens": tokens})
    own = f"arn:aws:ec2:{region}:{HUB}:instance/i-0123456789abcdef0"
    assert is_allowed(statements, "ec2:ModifyInstanceMetadataOptions", own, context) is expected
    assert not is_allowed(statements, "ec2:TerminateInstances", own, context)
    actions = {action for s in statements if s["Effect"] == "Allow" for action in as_list(s["Action"])}
    (access,) = hub(AllowLoosening=allow_loosening).of_type("AWS::IAM::ManagedPolicy").values()
    hubs = {a for s in access["PolicyDocument"]["Statement"] if s["Effect"] == "Allow" for a in as_list(s["Action"])}
    assert actions == hubs - {"sts:AssumeRole"}, "the same as in the hub's own account"


def test_the_hub_becomes_the_member_role_in_its_organization_only():
    (access,) = hub().of_type("AWS::IAM::ManagedPolicy").values()
    statements = access["PolicyDocument"]["Statement"]
    role = f"arn:aws:iam::{MEMBER}:role/imds-enforcer-member"
    for row, resource, organization, expected in [
        ("a member", role, ORGANIZATION, True),
        ("another organization", role, "o-zzzzzzzzzz", False),
        ("another role", role.replace("imds-enforcer-member", "Admin"), ORGANIZATION, False),
    ]:
        allowed = is_allowed(statements, "sts:AssumeRole", resource, {"aws:ResourceOrgID": organization})
        assert allowed is expected, row


def test_what_receives_is_there_before_members_send_and_a_lost_parameter_takes_no_stacks():
    members = load("TEMPLATE_JSON")["Resources"]["Members"]
    needed = {"BusPolicy", "BusTargetPolicy", "MemberEventRule", "MemberSweepRule", "QueuePolicy"}
    assert needed <= set(members["DependsOn"])
    assert (members["DeletionPolicy"], members["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


@pytest.mark.parametrize(
    ("role", "service", "context", "expected"),
    [
        ("ForwardRole", "events", {}, True),
        ("ForwardRole", "events", {"aws:SourceAccount": OTHER}, False),
        ("ForwardRole", "events", {"aws:SourceArn": f"arn:aws:events:us-east-1:{OTHER}:rule/x"}, False),
        ("ScheduleRole", "scheduler", {}, True),
        ("ScheduleRole", "scheduler", {"aws:SourceAccount": OTHER}, False),
    ],
)
def test_who_may_become_the_roles_of_rules_and_schedule(role, service, context, expected):
    trust = member().of_type("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
    assert [s["Principal"] for s in trust] == [{"Service": f"{service}.amazonaws.com"}]
    usual = {"aws:SourceAccount": HUB, "aws:SourceArn": f"arn:aws:events:us-east-1:{HUB}:rule/member-LaunchRule-1"}
    assert is_allowed(trust, "sts:AssumeRole", "*", usual | context) is expected


def test_rules_send_to_the_hub_alone_and_the_schedule_sweeps_alone():
    roles = member().of_type("AWS::IAM::Role")
    granted = {
        name: [s for policy in roles[name]["Policies"] for s in policy["PolicyDocument"]["Statement"]]
        for name in ("ForwardRole", "ScheduleRole")
    }
    bus, own = (
        f"arn:aws:events:us-east-1:{HUB}:event-bus/imds-enforcer",
        f"arn:aws:events:us-east-1:{HUB}:event-bus/default",
    )
    assert is_allowed(granted["ForwardRole"], "events:PutEvents", bus, {})
    assert not is_allowed(granted["ForwardRole"], "events:PutEvents", own, {})
    sweep = {"events:source": ["imds-enforcer"], "events:detail-type": ["Sweep"]}
    schedules = [s for s in granted["ScheduleRole"] if s["Action"] == "events:PutEvents"]
    assert is_allowed(schedules, "events:PutEvents", own, sweep)
    assert not is_allowed(schedules, "events:PutEvents", bus, sweep)
    assert not is_allowed(schedules, "events:PutEvents", own, sweep | {"events:source": ["something"]})
    assert not is_allowed(schedules, "events:PutEvents", own, {})


def test_two_hubs_of_other_prefixes_meet_nowhere():
    """Each name and ID that CloudFormation does not generate, in both templates, differs with another prefix."""

    def given(filled: Filled) -> set[str]:
        keys = re.compile(r"(Name|StatementId)$")
        named = (v for r in filled.resources.values() for k, v in r["Properties"].items() if keys.search(k))
        return {str(value) for value in named} - {"run", "enforce", "forward", "sweep"}

    def names(prefix: str) -> set[str]:
        alarms = {a["MetricName"] for a in hub().of_type("AWS::CloudWatch::Alarm").values()}
        both = given(hub(NamePrefix=prefix)) | given(member(NamePrefix=prefix))
        return {name for name in both - alarms if "AWS::StackName" not in name and "Ref" not in name}

    one, other = names("imds-enforcer"), names("staging")
    assert len(one) >= 5 and not {name for name in one & other if not name.startswith("s-")}


def test_what_cannot_change_later_says_so():
    """CloudFormation cannot replace a resource with a fixed name: a stack set would fail in every account."""
    for name in ("NamePrefix", "IamPath", "RoleRegion"):
        text = load("TEMPLATE_JSON")["Parameters"][name]["Description"]
        assert re.search(r"Do not change it( in a hub)? later", text), name
