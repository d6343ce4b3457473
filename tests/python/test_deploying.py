"""Checks every deployed template for what AWS refuses, or does in an unexpected way.

Linters do not see these: the services themselves refuse, or do harm and say nothing. Each row names its source.
"""

import json
import re
from dataclasses import dataclass

import pytest
from cfn import Filled, as_list, attribute, load
from processes import ROOT

HUB = {
    "OrganizationId": "o-abcdefghij",
    "TargetUnits": "ou-ab12-11111111",
    "MemberRegions": "us-east-1,eu-west-1",
    "AlarmTopicArn": "arn:aws:sns:us-east-1:111122223333:alarms",
    "MemberAlarmTopicArn": "arn:aws:sns:REGION:111122223333:alarms",
}
MEMBER = {
    "HubBusArn": "arn:aws:events:us-east-1:111122223333:event-bus/imds-enforcer",
    "HubAccountId": "111122223333",
    "HubRoleArns": "arn:aws:iam::111122223333:role/e,arn:aws:iam::111122223333:role/s",
    "OrganizationId": "o-abcdefghij",
    "Regions": "us-east-1,eu-west-1",
    "RoleRegion": "us-east-1",
}


def account(**parameters: str) -> Filled:
    return Filled(**parameters)


def hub(**parameters: str) -> Filled:
    return Filled(**HUB | parameters)


def member(region: str = "us-east-1", **parameters: str) -> Filled:
    return Filled(load("MEMBER_JSON"), region, **MEMBER | parameters)


def standalone(**parameters: str) -> Filled:
    return Filled(load("STANDALONE_JSON"), **{"CodeBucketPrefix": "code", "CodeVersion": "1"} | parameters)


ALL = pytest.mark.parametrize("template", [account, hub, member, standalone])
WITH_FUNCTIONS = pytest.mark.parametrize("template", [account, hub, standalone])


def is_bus(arn) -> bool:
    return ":event-bus/" in str(arn) or arn == attribute("Bus")


@ALL
def test_a_target_that_is_an_event_bus_has_what_put_targets_accepts(template):
    """PutTargets refuses a RetryPolicy there, and any change of the input; another account needs a role."""
    buses = [
        (name, target)
        for name, rule in template().of_type("AWS::Events::Rule").items()
        for target in rule["Targets"]
        if is_bus(target["Arn"])
    ]
    assert bool(buses) == (template is member)
    for name, target in buses:
        assert target.keys() == {"Id", "Arn", "RoleArn", "DeadLetterConfig"}, name


@ALL
def test_a_rolled_back_creation_leaves_nothing_whose_name_the_next_one_meets(template):
    """DeletionPolicy Retain keeps a resource whose creation is rolled back; RetainExceptOnCreate does not."""
    for name, resource in template().resources.items():
        assert resource.get("DeletionPolicy") != "Retain", name


def test_the_logs_outlive_the_stack_and_are_kept_for_400_days():
    groups = {n: r for n, r in account().resources.items() if r["Type"] == "AWS::Logs::LogGroup"}
    assert groups.keys() == {"EnforcerLog", "SweeperLog"}
    for name, group in groups.items():
        assert (group["DeletionPolicy"], group["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain"), name
        assert group["Properties"]["RetentionInDays"] == "400", name


@ALL
def test_every_alarm_is_on_one_metric(template):
    """Metric math over a series that never had data gives no data: the alarm hides a failure, or never clears."""
    for name, alarm in template().of_type("AWS::CloudWatch::Alarm").items():
        assert "MetricName" in alarm and "Metrics" not in alarm, name
        # The maximum of EvaluationPeriods times Period: one day for periods below an hour, otherwise seven days.
        longest = 86_400 if alarm["Period"] < 3_600 else 604_800
        assert alarm["EvaluationPeriods"] * alarm["Period"] <= longest, name


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
@pytest.mark.parametrize("named", ["REGION", "us-east-1"])
def test_a_member_alarms_to_a_topic_of_its_own_region(region, named):
    """PutMetricAlarm refuses a topic of another Region."""
    topic = f"arn:aws:sns:{named}:111122223333:alarms"
    alarms = member(region, AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm")
    for name, alarm in alarms.items():
        assert alarm["AlarmActions"] == [f"arn:aws:sns:{region}:111122223333:alarms"], name
    assert not any("AlarmActions" in alarm for alarm in member(region).of_type("AWS::CloudWatch::Alarm").values())


def test_the_documented_topic_policy_admits_what_is_sent():
    """EventBridge supports no condition in the policy of a topic: with one, every message is refused."""
    text = (ROOT / "docs" / "organization.md").read_text()
    statements = json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])["Statement"]
    services = {s["Principal"]["Service"]: s for s in statements}
    assert services.keys() == {"cloudwatch.amazonaws.com", "events.amazonaws.com"}
    assert "Condition" not in services["events.amazonaws.com"]
    assert services["cloudwatch.amazonaws.com"]["Condition"].keys() == {"StringEquals"}


def test_a_failed_stack_of_a_member_is_told():
    """A StackSets operation succeeds even if every stack failed within the tolerance, so failures are reported."""
    (rule,) = [r for r in hub().of_type("AWS::Events::Rule").values() if "aws.cloudformation" in str(r)]
    (target,) = rule["Targets"]
    assert target["Arn"] == HUB["AlarmTopicArn"]
    assert target["DeadLetterConfig"] == {"Arn": attribute("RuleDeadLetters")}
    paths = target["InputTransformer"]["InputPathsMap"]
    used = set(re.findall(r"<([\w-]+)>", target["InputTransformer"]["InputTemplate"]))
    assert used == paths.keys()
    for line in target["InputTransformer"]["InputTemplate"].splitlines():
        assert re.fullmatch(r'"[^"]*"', line), "each line of text to a topic is quoted"
    assert "MemberStackRule" not in hub(AlarmTopicArn="").resources, "there is nobody to tell"


def test_the_name_of_a_schedule_fits():
    """Scheduler's names have 64 characters; a generated one has the stack set's name in it."""
    schedules = member(NamePrefix="x" * 32).of_type("AWS::Scheduler::Schedule").values()
    names = {schedule["Name"] for schedule in schedules}
    assert len(names) == len(schedules) == 2
    assert max(map(len, names)) <= 64


def test_the_documented_boundary_allows_what_the_roles_do():
    text = (ROOT / "docs" / "organization.md").read_text()
    documented = set(re.findall(r"`(\w+:\w+)`", re.search(r"The boundary must allow(.*?)\n\* ", text, re.DOTALL)[1]))
    allowed = set()
    network = {"SubnetIds": "subnet-0a", "SecurityGroupIds": "sg-0b"}
    for filled in (hub(AllowLoosening="true", OutcomeBus="outcomes", **network), member(AllowLoosening="true")):
        documents = [p["PolicyDocument"] for p in filled.of_type("AWS::IAM::ManagedPolicy").values()]
        documents += [p["PolicyDocument"] for r in filled.of_type("AWS::IAM::Role").values() for p in r["Policies"]]
        statements = [s for d in documents for s in d["Statement"] if s["Effect"] == "Allow"]
        allowed |= {action for s in statements for action in as_list(s["Action"])}
    assert documented == allowed


def test_roles_and_policies_guard_the_value_that_is_being_set():
    """ec2:Attribute/NAME is the requested value; ec2:Metadata… is the one that the instance has."""
    loose = {"DenyEndpointChanges": "true", "HopLimitCeiling": "2"}
    for filled in (account(**loose), member(**loose)):
        documents = [p["PolicyDocument"] for p in filled.of_type("AWS::IAM::ManagedPolicy").values()]
        roles = filled.of_type("AWS::IAM::Role").values()
        documents += [p["PolicyDocument"] for role in roles for p in role["Policies"]]
        denied = [s for d in documents for s in d["Statement"] if s["Effect"] == "Deny"]
        assert len(denied) == 3
        keys = {key for s in denied for keys in s["Condition"].values() for key in keys}
        assert keys == {f"ec2:Attribute/{name}" for name in ("HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit")}


def test_the_runtime_changes_with_a_deployment_only():
    """provided.al2023 updates itself unless RuntimeManagementConfig says FunctionUpdate."""
    function = load("TEMPLATE_JSON")["Globals"]["Function"]
    assert function["RuntimeManagementConfig"] == {"UpdateRuntimeOn": "FunctionUpdate"}


def test_no_file_of_the_image_is_named():
    """If AWS moved such a file, the functions of all accounts would stop at once."""
    variables = load("TEMPLATE_JSON")["Globals"]["Function"]["Environment"]["Variables"]
    assert not variables.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}


def test_nothing_is_enforced_before_the_operator_says_so():
    assert load("TEMPLATE_JSON")["Parameters"]["Mode"]["Default"] == "dry-run"


@ALL
def test_every_role_has_path_and_boundary(template):
    given = {"IamPath": "/platform/", "PermissionsBoundaryArn": "arn:aws:iam::111122223333:policy/boundary"}
    roles = template(**given).of_type("AWS::IAM::Role")
    for name, role in roles.items():
        assert role["Path"].startswith("/platform/"), name
        assert role["PermissionsBoundary"] == given["PermissionsBoundaryArn"], name


@ALL
def test_no_resource_has_tags_of_its_own_that_the_stacks_would_lose_to(template):
    """CloudFormation sets the stack's tags on all resources; a resource's own tags would override them."""
    for name, resource in template().resources.items():
        assert not as_list(resource["Properties"].get("Tags", [])), name


# ---- Functions and their queues ----


@dataclass(frozen=True)
class Consumer:
    """A function, and the queue that it reads."""

    timeout: int
    variables: dict[str, str]
    role: str
    queue_name: str
    queue: dict
    window: int
    concurrency: int


def consumers(filled: Filled) -> dict[str, Consumer]:
    """The functions by name, from SAM's template as from plain CloudFormation."""
    functions = filled.of_type("AWS::Serverless::Function") | filled.of_type("AWS::Lambda::Function")
    mappings = {m["FunctionName"]["Ref"]: m for m in filled.of_type("AWS::Lambda::EventSourceMapping").values()}
    shared = filled.fill(filled.template.get("Globals", {}).get("Function", {}).get("Environment", {}))
    queues = filled.of_type("AWS::SQS::Queue")
    found = {}
    for name, function in functions.items():
        source = mappings[name] if name in mappings else function["Events"]["Queue"]["Properties"]
        (queue, _) = (source.get("EventSourceArn") or source["Queue"])["Fn::GetAtt"]
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name
        found[name] = Consumer(
            timeout=function["Timeout"],
            variables=shared.get("Variables", {}) | function.get("Environment", {}).get("Variables", {}),
            role=function["Role"]["Fn::GetAtt"][0],
            queue_name=queue,
            queue=queues[queue],
            window=source.get("MaximumBatchingWindowInSeconds", 0),
            concurrency=int(source["ScalingConfig"]["MaximumConcurrency"]),
        )
    assert found.keys() == {"Enforcer", "Sweeper"}
    return found


@WITH_FUNCTIONS
def test_a_record_outlives_its_function_and_all_its_receives(template):
    """A record that is visible before its invocation ends is handled twice; one that expires is lost."""
    filled = template()
    queues = filled.of_type("AWS::SQS::Queue")
    for name, consumer in consumers(filled).items():
        queue, redrive = consumer.queue, consumer.queue["RedrivePolicy"]
        assert queue["VisibilityTimeout"] >= 6 * consumer.timeout + consumer.window, name
        dead = queues[redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]]
        # If every invocation crashes, a record waits for the visibility timeout each time. SQS counts its retention
        # from the first send, in the dead-letter queue too.
        longest = redrive["maxReceiveCount"] * queue["VisibilityTimeout"]
        assert longest < queue["MessageRetentionPeriod"] < dead["MessageRetentionPeriod"], name


@WITH_FUNCTIONS
def test_how_often_a_record_is_tried(template):
    """Events: 80 minutes of pauses that double up to 15 minutes. Sweeps also go on where the last one stopped."""
    receives = {n: c.queue["RedrivePolicy"]["maxReceiveCount"] for n, c in consumers(template()).items()}
    assert receives == {"Enforcer": 12, "Sweeper": 100}


@WITH_FUNCTIONS
def test_a_function_changes_the_visibility_of_its_own_queue_alone(template):
    """A failed record stays invisible until the visibility timeout ends, unless ChangeMessageVisibility shortens it."""
    filled = template()
    roles = filled.of_type("AWS::IAM::Role")
    for name, consumer in consumers(filled).items():
        documents = [policy["PolicyDocument"] for policy in roles[consumer.role]["Policies"]]
        statements = [s for document in documents for s in document["Statement"]]
        allowed = [s for s in statements if "sqs:ChangeMessageVisibility" in as_list(s["Action"])]
        assert [(s["Effect"], s["Resource"]) for s in allowed] == [("Allow", attribute(consumer.queue_name))], name


@pytest.mark.parametrize("template", [account, standalone])
def test_the_bursts_of_all_processes_are_ec2_s_burst(template):
    """EC2's token bucket for ModifyInstanceMetadataOptions: 100 calls, then 5 per second."""
    found = consumers(template())
    bursts = {name: consumer.variables.get("IMDS_MODIFY_BURST") for name, consumer in found.items()}
    assert bursts == {"Enforcer": "40", "Sweeper": "10"}
    assert sum(int(bursts[name]) * consumer.concurrency for name, consumer in found.items()) == 100


def test_a_hub_alone_chooses_how_many_functions_run_at_once():
    def concurrency(template, **parameters: str) -> dict[str, int]:
        return {name: consumer.concurrency for name, consumer in consumers(template(**parameters)).items()}

    assert concurrency(hub) == {"Enforcer": 20, "Sweeper": 20}
    chosen = {"EnforcerConcurrency": "5", "SweeperConcurrency": "100"}
    assert concurrency(hub, **chosen) == {"Enforcer": 5, "Sweeper": 100}
    assert concurrency(account, **chosen) == {"Enforcer": 2, "Sweeper": 2}
    assert not chosen.keys() & standalone().template["Parameters"].keys()
    for name in chosen:
        parameter = hub().template["Parameters"][name]
        assert (parameter["MinValue"], parameter["MaxValue"]) == (2, 1000), "the bounds of Lambda"


@WITH_FUNCTIONS
def test_each_function_has_a_rate_of_its_own(template):
    def rates(**parameters: str) -> dict[str, str]:
        found = consumers(template(**parameters))
        return {name: consumer.variables["IMDS_MODIFY_RATE"] for name, consumer in found.items()}

    assert rates() == {"Enforcer": "4", "Sweeper": "1"}
    assert rates(ModifyRate="9") == {"Enforcer": "9", "Sweeper": "1"}
    assert rates(SweepModifyRate="0.5") == {"Enforcer": "4", "Sweeper": "0.5"}


@WITH_FUNCTIONS
def test_both_rates_have_the_same_bounds_and_every_parameter_is_in_a_group(template):
    parameters = template().template["Parameters"]
    for name in ("ModifyRate", "SweepModifyRate"):
        bounds = {key: value for key, value in parameters[name].items() if key.endswith("Value")}
        assert bounds == {"MinValue": 0.01, "MaxValue": 1000}, name
    groups = template().template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(parameters)


def known_variables() -> set[str]:
    """The function does not start with an IMDS_ variable that it does not know."""
    text = (ROOT / "src" / "config" / "mod.rs").read_text()
    listed = re.search(r"VARIABLES: \[&str; \d+\] = \[(.*?)\];", text, re.DOTALL)
    assert listed, "src/config/mod.rs lists them"
    return set(re.findall(r'"(IMDS_\w+)"', listed[1]))


def test_the_page_about_deployment_has_every_variable_that_the_function_knows():
    documented = re.findall(r"^\| `(IMDS_\w+)` \|", (ROOT / "docs" / "deploy.md").read_text(), re.MULTILINE)
    assert set(documented) == known_variables()


@WITH_FUNCTIONS
def test_every_variable_is_one_that_the_function_knows(template):
    for name, consumer in consumers(template()).items():
        ours = {variable for variable in consumer.variables if variable.startswith("IMDS_")}
        assert ours <= known_variables(), f"{name}: {ours - known_variables()}"
