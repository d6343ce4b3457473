"""Checks the template: who may send, what is retained, what is granted, and the metrics of alarms and widgets."""

import json
import re

import pytest
import sample_events
from cfn import Filled, as_list, attribute, load
from ec2_words import NO_INSTANCE, launch, running
from iam import is_allowed
from processes import ROOT, Function

# What Lambda itself does with a function's role: reads the queue, and writes the log.
LAMBDAS_OWN = {
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
}
INSTANCE = "arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0"


def senders(filled: Filled, queue: str) -> list[str]:
    """The rules that may send to a queue, by its policies; nobody else may."""
    rules = []
    for policy in filled.of_type("AWS::SQS::QueuePolicy").values():
        if policy["Queues"] != [{"Ref": queue}]:
            continue
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sqs:SendMessage")
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Resource"] == attribute(queue)
        assert statement["Condition"].keys() == {"ArnEquals"}
        rules += [source["Fn::GetAtt"][0] for source in statement["Condition"]["ArnEquals"]["aws:SourceArn"]]
    return sorted(rules)


def test_every_rule_may_send_to_its_queue_and_to_its_dead_letters_and_nobody_else():
    filled = Filled()
    rules = filled.of_type("AWS::Events::Rule")
    targets = {name: rule["Targets"][0]["Arn"]["Fn::GetAtt"][0] for name, rule in rules.items()}
    for name, rule in rules.items():
        (target,) = rule["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": attribute("RuleDeadLetters")}, name
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}, name
    for queue in ("Queue", "SweepQueue"):
        assert senders(filled, queue) == sorted(rule for rule, target in targets.items() if target == queue)
    assert senders(filled, "RuleDeadLetters") == sorted(rules)
    assert senders(filled, "DeadLetters") == senders(filled, "SweepDeadLetters") == []


def test_every_queue_is_encrypted_and_what_fails_is_kept():
    queues = Filled().of_type("AWS::SQS::Queue")
    dead = {
        queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for queue in queues.values()
        if "RedrivePolicy" in queue
    }
    assert dead == {"DeadLetters", "SweepDeadLetters"}
    for name, queue in queues.items():
        assert queue["SqsManagedSseEnabled"] is True, name
        if name in dead or name == "RuleDeadLetters":
            assert queue["MessageRetentionPeriod"] == 1209600, name


def statements(filled: Filled, role: str) -> list[dict]:
    properties = filled.of_type("AWS::IAM::Role")[role]
    documents = [policy["PolicyDocument"] for policy in properties["Policies"]]
    managed = filled.of_type("AWS::IAM::ManagedPolicy")
    documents += [managed[policy["Ref"]]["PolicyDocument"] for policy in properties["ManagedPolicyArns"]]
    return [statement for document in documents for statement in document["Statement"]]


@pytest.mark.parametrize("role", ["EnforcerRole", "SweeperRole"])
@pytest.mark.parametrize(
    ("allow_loosening", "tokens", "expected"),
    [
        ("false", "required", True),
        ("false", "optional", False),
        ("false", "REQUIRED", False),
        ("false", None, True),
        ("true", "required", True),
        ("true", "optional", True),
        ("true", None, True),
    ],
)
def test_the_guard(role, allow_loosening, tokens, expected):
    context = {"ec2:Region": "us-east-1"} | ({} if tokens is None else {"ec2:Attribute/HttpTokens": tokens})
    granted = statements(Filled(AllowLoosening=allow_loosening), role)
    assert is_allowed(granted, "ec2:ModifyInstanceMetadataOptions", INSTANCE, context) is expected
    elsewhere = context | {"ec2:Region": "eu-west-1"}
    assert not is_allowed(granted, "ec2:ModifyInstanceMetadataOptions", INSTANCE, elsewhere)


@pytest.mark.parametrize(
    ("parameters", "attribute", "value", "expected"),
    [
        ({}, "HttpEndpoint", "disabled", True),
        ({"DenyEndpointChanges": "true"}, "HttpEndpoint", "disabled", False),
        ({"DenyEndpointChanges": "true"}, "HttpEndpoint", "enabled", False),
        ({"DenyEndpointChanges": "true"}, "HttpTokens", "required", True),
        ({}, "HttpPutResponseHopLimit", "64", True),
        ({"HopLimitCeiling": "3"}, "HttpPutResponseHopLimit", "4", False),
        ({"HopLimitCeiling": "3"}, "HttpPutResponseHopLimit", "3", True),
        ({"HopLimitCeiling": "3"}, "HttpPutResponseHopLimit", "1", True),
        ({"HopLimitCeiling": "3"}, "HttpPutResponseHopLimit", "30", False),
        ({"HopLimitCeiling": "8"}, "HttpPutResponseHopLimit", "8", True),
        ({"HopLimitCeiling": "1"}, "HttpPutResponseHopLimit", "2", False),
        ({"HopLimitCeiling": "3"}, "HttpTokens", "required", True),
    ],
)
def test_the_optional_guards(parameters, attribute, value, expected):
    context = {"ec2:Region": "us-east-1", f"ec2:Attribute/{attribute}": value}
    known = load("MEMBER_JSON")["Parameters"]
    member = Filled(load("MEMBER_JSON"), **{name: "us-east-1" for name in ("Regions", "RoleRegion")} | parameters)
    assert parameters.keys() <= known.keys()
    roles = [statements(Filled(**parameters), role) for role in ("EnforcerRole", "SweeperRole")]
    roles.append(
        [
            s
            for p in member.of_type("AWS::IAM::Role")["MemberRole"]["Policies"]
            for s in p["PolicyDocument"]["Statement"]
        ]
    )
    for granted in roles:
        assert is_allowed(granted, "ec2:ModifyInstanceMetadataOptions", INSTANCE, context) is expected


NETWORK = {"SubnetIds": "subnet-0a,subnet-0b", "SecurityGroupIds": "sg-0c"}


def functions(template: str, **parameters: str) -> list[dict]:
    """The properties of each function; those that all have, if the template has SAM's globals."""
    filled = Filled(load(template), **parameters)
    plain = filled.of_type("AWS::Lambda::Function").values()
    return list(plain) or [filled.fill(filled.template["Globals"])["Function"]]


@pytest.mark.parametrize("template", ["TEMPLATE_JSON", "STANDALONE_JSON"])
def test_functions_run_in_a_vpc_if_it_is_named(template):
    def networks(**parameters: str) -> list:
        return [function.get("VpcConfig") for function in functions(template, **parameters)]

    assert set(networks()) == {None}
    for network in networks(**NETWORK):
        assert network == {"SubnetIds": ["subnet-0a", "subnet-0b"], "SecurityGroupIds": ["sg-0c"]} | {
            "Ipv6AllowedForDualStack": False
        }
    for network in networks(UseDualStackEndpoints="true", **NETWORK):
        assert network["Ipv6AllowedForDualStack"] is True


@pytest.mark.parametrize("role", ["EnforcerRole", "SweeperRole"])
@pytest.mark.parametrize("template", ["TEMPLATE_JSON", "STANDALONE_JSON"])
def test_lambda_connects_the_functions_to_a_vpc_and_the_code_of_no_function_may(template, role):
    action, context = "ec2:CreateNetworkInterface", {"ec2:Region": "us-east-1"}
    # Lambda shortens the stack's name in that of the function. Somebody else's function may have the role, too.
    names = ["s-Enforcer-1A2B", "StackSet-imds-enforcer-standalone-5b3c-Sweeper-1A2B", "other"]
    inside, outside = (statements(Filled(load(template), **more), role) for more in (NETWORK, {}))
    assert is_allowed(inside, action, "*", context)
    assert not is_allowed(outside, action, "*", context)
    for name in names:
        code = {"lambda:SourceFunctionArn": f"arn:aws:lambda:us-east-1:111122223333:function:{name}"}
        assert not is_allowed(inside, action, "*", context | code), name
        change = context | code | {"ec2:Attribute/HttpTokens": "required"}
        assert is_allowed(inside, "ec2:ModifyInstanceMetadataOptions", INSTANCE, change)


@pytest.mark.parametrize("role", ["EnforcerRole", "SweeperRole"])
@pytest.mark.parametrize("template", ["TEMPLATE_JSON", "STANDALONE_JSON"])
def test_only_outcome_events_are_put_and_only_on_the_bus_that_is_named(template, role):
    outcome = {"events:source": ["imds-enforcer"], "events:detail-type": ["Instance Metadata Options Outcome"]}
    bus = "arn:aws:events:us-east-1:111122223333:event-bus/"
    with_bus, without = (statements(Filled(load(template), **more), role) for more in ({"OutcomeBus": "outcomes"}, {}))
    assert is_allowed(with_bus, "events:PutEvents", bus + "outcomes", outcome)
    assert not is_allowed(without, "events:PutEvents", bus + "outcomes", outcome)
    assert not is_allowed(with_bus, "events:PutEvents", bus + "default", outcome)
    for other in (
        {"events:detail-type": ["Sweep"]},
        {"events:detail-type": None},
        {"events:source": ["imds-enforcer", "aws.ec2"]},
        {"events:source": None},
    ):
        assert not is_allowed(with_bus, "events:PutEvents", bus + "outcomes", outcome | other), other


@pytest.mark.parametrize("template", ["TEMPLATE_JSON", "STANDALONE_JSON"])
def test_the_function_knows_which_receive_is_the_last(template):
    known = re.search(r"RECEIVES: u32 = (\d+);", (ROOT / "src" / "redelivery.rs").read_text())
    queue = Filled(load(template)).of_type("AWS::SQS::Queue")["Queue"]
    assert queue["RedrivePolicy"]["maxReceiveCount"] == int(known[1])


@pytest.mark.parametrize("template", ["TEMPLATE_JSON", "STANDALONE_JSON"])
def test_the_functions_know_the_bus_and_an_alarm_tells_of_what_it_did_not_get(template):
    for bus in ("", "outcomes"):
        variables = [f["Environment"]["Variables"] for f in functions(template, OutcomeBus=bus)]
        assert {read.get("IMDS_OUTCOME_BUS") for read in variables} == {bus or None}
        alarms = Filled(load(template), OutcomeBus=bus).of_type("AWS::CloudWatch::Alarm")
        assert [alarm["MetricName"] for name, alarm in alarms.items() if name == "OutcomeEventsAlarm"] == (
            ["OutcomeEventsFailed"] if bus else []
        )


@pytest.mark.parametrize("template", ["TEMPLATE_JSON", "STANDALONE_JSON"])
def test_fips_and_dual_stack_endpoints_are_variables_of_the_sdk(template):
    def variables(**parameters: str) -> dict:
        (first, *others) = [function["Environment"]["Variables"] for function in functions(template, **parameters)]
        names = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
        read = {name: first[name] for name in names}
        assert all(read == {name: other[name] for name in names} for other in others)
        return read

    assert variables() == {"AWS_USE_FIPS_ENDPOINT": "false", "AWS_USE_DUALSTACK_ENDPOINT": "false"}
    assert variables(UseFipsEndpoints="true")["AWS_USE_FIPS_ENDPOINT"] == "true"
    assert variables(UseDualStackEndpoints="true")["AWS_USE_DUALSTACK_ENDPOINT"] == "true"


def granted(filled: Filled, role: str) -> set[str]:
    allowed = [s for s in statements(filled, role) if s["Effect"] == "Allow"]
    return {action for statement in allowed for action in as_list(statement["Action"])}


@pytest.mark.parametrize("covered", ["", "us-east-1,eu-west-1"])
def test_usage_is_read_where_instances_are_covered_and_nothing_else_of_cloudwatch(covered):
    """GetMetricData has no resource and no key for namespaces: the Region is all that can be limited."""
    hub = {"OrganizationId": "o-abcdefghij", "TargetUnits": "ou-ab12-11111111"} if covered else {}
    account = Filled(MemberRegions=covered, **hub)
    member = Filled(load("MEMBER_JSON"), RoleRegion="us-east-1", Regions=covered or "us-east-1")
    (enforce,) = member.of_type("AWS::IAM::Role")["MemberRole"]["Policies"]
    granted = {role: statements(account, role) for role in ("EnforcerRole", "SweeperRole")}
    granted["MemberRole"] = enforce["PolicyDocument"]["Statement"]
    for region in ("us-east-1", "eu-west-1", "ap-south-1"):
        for role, allowed in granted.items():
            row = f"{role} in {region}"
            expected = region in (covered or "us-east-1").split(",")
            context = {"aws:RequestedRegion": region}
            assert is_allowed(allowed, "cloudwatch:GetMetricData", "*", context) is expected, row
            for action in ("PutMetricData", "GetMetricStatistics", "ListMetrics"):
                assert not is_allowed(allowed, f"cloudwatch:{action}", "*", context), f"{row}: {action}"


def called(sim) -> set[str]:
    """The calls so far, as IAM names them. The simulator is EC2 and CloudWatch."""
    services = {"GetMetricData": "cloudwatch"}
    return {f"{services.get(call['action'], 'ec2')}:{call['action']}" for call in sim.calls()}


# The actions that authorize calls of SQS, from the service authorization reference.
AUTHORIZES = {"AmazonSQS.ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility"}


@pytest.mark.parametrize("allow_loosening", ["false", "true"])
def test_what_is_granted_is_called_and_what_is_called_is_granted(start, sim, ec2, moto, allow_loosening):
    tokens = "optional" if allow_loosening == "true" else "required"
    policy = {"baseline": {"HttpTokens": tokens}, "instanceTags": {"authority": "loosen"}}
    variables = {"IMDS_POLICY_FILE": "", "IMDS_POLICY": json.dumps(policy), "AWS_ENDPOINT_URL_SQS": moto.url}
    function = start(Function, sim.url, **variables)
    ids = running(ec2, 2, options={"HttpTokens": "required" if tokens == "optional" else "optional"})
    sim.forget_calls()
    function.invoke(sample_events.about("ec2-launch-one", ids[:1]))
    # One record is done, the other one fails.
    about = (json.dumps(sample_events.about("ec2-state-running", [i])) for i in (ids[1], NO_INSTANCE))
    with moto.recorded() as of_sqs:
        function.invoke(sample_events.batch(*about))
    launch(ec2)
    # The watch asks CloudWatch about instances that require tokens.
    watching = start(Function, sim.url)
    running(ec2, options={"HttpTokens": "required"})
    watching.invoke(sample_events.about("imds-enforcer-sweep-watch", []))
    sim_calls = called(sim) - {"ec2:RunInstances"}
    filled = Filled(AllowLoosening=allow_loosening)
    for role in ("EnforcerRole", "SweeperRole"):
        assert granted(filled, role) == sim_calls | {AUTHORIZES[call] for call in of_sqs} | LAMBDAS_OWN
    function.invoke(sample_events.about("imds-enforcer-sweep", []))
    assert called(sim) - {"ec2:RunInstances"} == sim_calls, "a sweep takes no more"


def searched(expression: str) -> list[tuple[str, str, dict]]:
    """The metrics that a widget's search finds, if it is one."""
    found = []
    for search in re.findall(r"SEARCH\('([^']*)'", expression):
        schema, query = re.match(r"\{([^}]*)\} (.*)", search).groups()
        namespace, *dimensions = schema.split(",")
        names = re.search(r"MetricName=(\([^)]*\)|\"\w+\")", query).group(1)
        values = dict(re.findall(r'(\w+)="([^"]*)"', query.replace(names, "")))
        # A search without a value for the mode finds all modes.
        values = {name: "any" for name in dimensions if name == "Mode"} | values
        assert values.keys() == set(dimensions)
        found += [(namespace, name, values) for name in re.findall(r'"(\w+)"', names)]
    return found


def looked_at(filled: Filled) -> dict[str, list[tuple[str, str, dict]]]:
    """The metrics of each alarm and widget: namespace, name, and dimensions by name."""
    found = {}
    for name, alarm in filled.of_type("AWS::CloudWatch::Alarm").items():
        dimensions = {d["Name"]: d["Value"] for d in alarm.get("Dimensions", [])}
        found[name] = [(alarm["Namespace"], alarm["MetricName"], dimensions)]
    (dashboard,) = filled.of_type("AWS::CloudWatch::Dashboard").values()
    body = dashboard["DashboardBody"]
    for widget in json.loads(body.get("Fn::Sub") if isinstance(body, dict) else body)["widgets"]:
        properties = widget["properties"]
        rows = [[part for part in row if not isinstance(part, dict)] for row in properties["metrics"]]
        plain = [(row[0], row[1], dict(zip(row[2::2], row[3::2], strict=True))) for row in rows if row]
        expressions = [part["expression"] for row in properties["metrics"] for part in row if "expression" in part]
        found[properties["title"]] = plain + [metric for text in expressions for metric in searched(text)]
    return found


def test_alarms_and_widgets_look_at_what_is_written(written):
    filled = Filled()
    modes = filled.template["Parameters"]["Mode"]["AllowedValues"]
    for name, metrics in looked_at(filled).items():
        assert metrics, name
        for namespace, metric, dimensions in metrics:
            row = f"{name}: {namespace} {metric} {dimensions}"
            if namespace == "ImdsEnforcer":
                # A metric by mode is published in at least one mode: WouldEnforce only in dry runs.
                among = [dimensions | {"Mode": mode} for mode in modes] if "Mode" in dimensions else [dimensions]
                assert any((metric, frozenset(d.items())) in written.names for d in among), row
            else:
                assert metric in AWS_METRICS[namespace], row
                ((key, value),) = dimensions.items()
                assert exists(filled, key, value), row


def test_alarms_hold_whatever_the_mode_was():
    """A series by Mode ends when Mode changes: an alarm on it would keep its state, or never have data."""
    for name, metrics in looked_at(Filled()).items():
        if name.endswith("Alarm") and name != "PendingAlarm":
            assert not any("Mode" in dimensions for _, _, dimensions in metrics), name


def test_alarms_for_failures_of_each_kind():
    alarms = {alarm["MetricName"]: alarm for alarm in Filled().of_type("AWS::CloudWatch::Alarm").values()}
    expected = {"Denied", "Failed", "Blocked", "ThrottledShare", "SweepsDone", "PendingTooLong"}
    assert alarms.keys() >= expected | {"RejectedCalls", "SweepsStopped", "GateEnding"}
    for name in ("Denied", "Failed", "Blocked", "UnreadableEvents"):
        assert (alarms[name]["Statistic"], alarms[name]["Threshold"]) == ("Sum", 0), name
        assert alarms[name]["TreatMissingData"] == "notBreaching", f"{name}: no data is no failure"
    assert alarms["Blocked"]["Dimensions"] == [{"Name": "Trigger", "Value": "launch"}], "sweeps would ring for ever"
    assert alarms["SweepsDone"]["TreatMissingData"] == "breaching", "no data is no sweep"
    unreadable = alarms["UnreadableEvents"]
    assert (unreadable["Period"], unreadable["DatapointsToAlarm"]) == (60, 1), "the record is kept for hours only"
    assert unreadable["EvaluationPeriods"] * 60 > 1.2 * 900, "one notification, not one for each retry"
    assert "Dimensions" not in unreadable, "an event that cannot be read has no account, Region or trigger"


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        # Published by a sweep a day: without the longer range, the alarm would end and start again each time.
        ("RejectedCalls", 26),
        ("GateEnding", 26),
        ("SweepsStopped", None),
    ],
)
def test_the_alarms_of_gate_watch_and_limits(name, hours):
    """One each, for all accounts of a hub: the metrics have no dimensions."""
    alarms = {alarm["MetricName"]: alarm for alarm in Filled().of_type("AWS::CloudWatch::Alarm").values()}
    alarm = alarms[name]
    assert (alarm["Namespace"], alarm["Statistic"], alarm["Threshold"]) == ("ImdsEnforcer", "Sum", 0)
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert "Dimensions" not in alarm
    assert alarm["DatapointsToAlarm"] == 1
    assert alarm["TreatMissingData"] == "notBreaching", "a sweep without the watch publishes nothing"
    expected = (3600, hours) if hours else (300, 1)
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == expected


def test_the_dashboard_shows_the_migration():
    """The shares of all instances that sweeps found, each instance counted under one outcome, in any mode."""
    (dashboard,) = Filled().of_type("AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]
    (migration,) = (w["properties"] for w in widgets if w["properties"]["title"].startswith("The migration"))
    rows = [row[0] for row in migration["metrics"]]
    counted = {
        row["id"]: {name for _, name, _ in searched(row["expression"])} for row in rows if "SEARCH" in row["expression"]
    }
    for row in rows:
        for _, _, dimensions in searched(row["expression"]):
            assert dimensions == {"Mode": "any", "Trigger": "sweep"}
    total = counted.pop("total")
    assert counted["required"] == {"Compliant", "Enforced"}
    assert (counted["inUse"], counted["exempt"], counted["blocked"]) == ({"InUse"}, {"Exempt"}, {"Blocked"})
    assert sum(map(len, counted.values())) == len(total), "none twice"
    assert set().union(*counted.values()) == total
    # Everything that a sweep reports of an instance, except of one that is gone or not ours. A sweep whose role cannot
    # be assumed lists no instances, so that none is unreachable.
    assert total == OUTCOMES - {"OutOfScope", "Gone", "Unreachable"}
    shown = {row["label"] for row in rows if row.get("visible", True)}
    assert len(shown) == len(counted)
    for row in rows:
        if row.get("visible", True):
            assert re.fullmatch(r"100 \* FILL\((\w+), 0\) / total", row["expression"])[1] in counted


def test_the_dashboard_counts_every_outcome():
    shown = {metric for metric, *_ in (m[1:] for m in looked_at(Filled())["Outcomes"])}
    assert shown == OUTCOMES


def test_the_dashboard_shows_what_has_no_alarm():
    filled = Filled()
    alarms = {alarm["MetricName"] for alarm in filled.of_type("AWS::CloudWatch::Alarm").values()}
    shown = {metric for metrics in looked_at(filled).values() for _, metric, _ in metrics}
    assert shown - alarms >= {"ExemptionsEnding", "OldestExemptionDays"}


# The metrics that count instances by outcome.
OUTCOMES = {"Enforced", "Compliant", "WouldEnforce", "Exempt", "OutOfScope", "InUse", "Deferred", "Blocked", "Denied"}
OUTCOMES |= {"Gone", "Pending", "NotReady", "Throttled", "Unreachable", "Failed"}
# From the guides of SQS and Lambda.
AWS_METRICS = {
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
    "AWS/Lambda": {"Errors"},
}


def exists(filled: Filled, key: str, value) -> bool:
    """Whether a dimension names a queue or a function of the template."""
    match key, value:
        case "QueueName", {"Fn::GetAtt": [name, "QueueName"]}:
            return name in filled.of_type("AWS::SQS::Queue")
        case "QueueName", str(text):
            name = re.fullmatch(r"\$\{(\w+)\.QueueName\}", text)
            return bool(name) and name[1] in filled.of_type("AWS::SQS::Queue")
        case "FunctionName", {"Ref": name}:
            return name in filled.of_type("AWS::Serverless::Function")
    return False


def test_every_alarm_says_what_to_do_and_goes_to_the_topic():
    topic = "arn:aws:sns:us-east-1:111122223333:alarms"
    alarms = Filled(AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) >= 8
    for name, alarm in alarms.items():
        assert 80 < len(alarm["AlarmDescription"]) <= 1024, f"{name}: the most that CloudWatch accepts"
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic], name
    assert not any("AlarmActions" in alarm for alarm in Filled().of_type("AWS::CloudWatch::Alarm").values())


def test_the_documented_costs_count_the_alarms_of_the_template():
    for page in ("cost", "organization"):
        documented = re.findall(r"alarms: (\d+), \$0\.10 each", (ROOT / "docs" / f"{page}.md").read_text())
        assert documented == [str(len(Filled().of_type("AWS::CloudWatch::Alarm")))], page


POLICIES = {path.stem: path.read_text() for path in (ROOT / "service-control-policies").glob("*.json")}


def test_the_service_control_policies_fit():
    assert len(POLICIES) == 4
    for name, text in POLICIES.items():
        assert len(text) < 5120, f"{name}: the most that Organizations takes, blanks included"
        assert {statement["Effect"] for statement in json.loads(text)["Statement"]} == {"Deny"}
        assert "arn:aws:" not in text, f"{name}: AWS has more partitions"


IAM, ADMIN = "arn:aws:iam::111122223333:role", {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/platform-admin"}
SQS, EC2 = "arn:aws:sqs:us-east-1:111122223333", "arn:aws:ec2:us-east-1:111122223333"
GROUP = "arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:x:autoScalingGroupName/g"
OURS = {"aws:PrincipalArn": f"{IAM}/imds-enforcer-EnforcerRole-1"}
LAMBDA = "arn:aws:lambda:us-east-1:111122223333:function"
LOGS, STACKS = "arn:aws:logs:us-east-1:111122223333:log-group", "arn:aws:cloudformation:us-east-1:111122223333"


@pytest.mark.parametrize(
    ("action", "resource", "context", "expected"),
    [
        ("iam:PassRole", f"{IAM}/imds-enforcer-EnforcerRole-1", {}, False),
        ("iam:PassRole", f"{IAM}/app", {}, True),
        ("iam:PutRolePolicy", f"{IAM}/imds-enforcer-member", {}, False),
        ("iam:PutRolePolicy", f"{IAM}/imds-enforcer-member".replace("aws", "aws-us-gov", 1), {}, False),
        ("iam:PutRolePolicy", f"{IAM}/imds-enforcer-member", ADMIN, True),
        ("iam:PutRolePolicy", f"{IAM}/imds-enforcer-member", {"aws:PrincipalArn": f"{IAM}/stacksets-exec-1"}, True),
        ("iam:CreateRole", f"{IAM}/stacksets-exec-x", {}, False),
        ("iam:PutRolePolicy", f"{IAM}/platform-admin", {}, False),
        ("iam:CreateRole", f"{IAM}/imds-enforcer-x", {}, False),
        ("iam:GetRole", f"{IAM}/imds-enforcer-member", {}, True),
        ("sqs:ReceiveMessage", f"{SQS}:imds-enforcer-Queue-1", OURS, True),
        ("sqs:ChangeMessageVisibility", f"{SQS}:imds-enforcer-Queue-1", {}, False),
        ("sqs:ChangeMessageVisibility", f"{SQS}:imds-enforcer-Queue-1", OURS, True),
        ("sqs:SendMessage", f"{SQS}:imds-enforcer-Queue-1", {}, False),
        ("sqs:SendMessage", f"{SQS}:orders", {}, True),
        ("events:DisableRule", "arn:aws:events:us-east-1:111122223333:rule/StackSet-imds-enforcer-1", {}, False),
        ("events:DisableRule", "arn:aws:events:us-east-1:111122223333:rule/nightly", {}, True),
        ("lambda:InvokeFunction", f"{LAMBDA}:imds-enforcer-Enforcer-1", {}, False),
        ("lambda:UpdateEventSourceMapping", "*", {"lambda:FunctionArn": f"{LAMBDA}:imds-enforcer-Enforcer-1"}, False),
        ("lambda:UpdateEventSourceMapping", "*", {"lambda:FunctionArn": f"{LAMBDA}:orders"}, True),
        ("lambda:PutRuntimeManagementConfig", f"{LAMBDA}:imds-enforcer-Enforcer-1", {}, False),
        ("lambda:PutRuntimeManagementConfig", f"{LAMBDA}:orders", {}, True),
        ("lambda:PutFunctionConcurrency", f"{LAMBDA}:StackSet-imds-enforcer-standalone-1", {}, False),
        (
            "sqs:ReceiveMessage",
            f"{SQS}:StackSet-imds-enforcer-1",
            {"aws:PrincipalArn": f"{IAM}/StackSet-imds-enforcer-1"},
            True,
        ),
        ("logs:DeleteLogGroup", f"{LOGS}:imds-enforcer-EnforcerLog-1", {}, False),
        ("logs:DeleteLogStream", f"{LOGS}:imds-enforcer-EnforcerLog-1:log-stream:x", {}, False),
        ("logs:PutRetentionPolicy", f"{LOGS}:imds-enforcer-EnforcerLog-1", {}, False),
        ("logs:DeleteLogGroup", f"{LOGS}:orders", {}, True),
        ("events:DeleteEventBus", "arn:aws:events:us-east-1:111122223333:event-bus/imds-enforcer", {}, False),
        ("events:PutPermission", "*", {}, False),
        ("events:PutPermission", "*", ADMIN, True),
        ("events:RemovePermission", "*", {}, False),
        ("sqs:RemovePermission", f"{SQS}:imds-enforcer-Queue-1", {}, False),
        ("logs:PutLogEvents", f"{LOGS}:imds-enforcer-EnforcerLog-1", {}, False),
        ("logs:PutLogEvents", f"{LOGS}:imds-enforcer-EnforcerLog-1", OURS, True),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "ImdsEnforcer"}, False),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/EC2"}, False),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "Orders"}, True),
        ("lambda:DeleteLayerVersion", "arn:aws:lambda:us-east-1:1:layer:imds-enforcer-policy:1", {}, False),
        ("scheduler:DeleteSchedule", "arn:aws:scheduler:us-east-1:1:schedule/default/imds-enforcer-sweep", {}, False),
        ("cloudformation:DeleteStack", f"{STACKS}:stack/StackSet-imds-enforcer-members-1/2", {}, False),
        ("cloudformation:DeleteStack", f"{STACKS}:stack/imds-enforcer/2", {}, False),
        ("cloudformation:DeleteStack", f"{STACKS}:stack/imds-enforcer/2", ADMIN, True),
        ("cloudformation:UpdateStackSet", f"{STACKS}:stackset/imds-enforcer-members:2", {}, False),
        ("cloudformation:CreateStackInstances", f"{STACKS}:stackset/imds-enforcer-members:2", {}, False),
        ("cloudformation:ContinueUpdateRollback", f"{STACKS}:stack/imds-enforcer/2", {}, False),
        ("cloudformation:DeleteStack", f"{STACKS}:stack/orders/2", {}, True),
        ("ec2:ModifyInstanceMetadataDefaults", "*", {}, False),
        ("ec2:ModifyInstanceMetadataDefaults", "*", ADMIN, True),
        ("ec2:RunInstances", f"{EC2}:instance/*", {"ec2:MetadataHttpTokens": "optional"}, False),
        ("ec2:RunInstances", f"{EC2}:instance/*", {}, False),
        ("ec2:RunInstances", f"{EC2}:instance/*", {"ec2:MetadataHttpTokens": "required"}, True),
        ("ec2:RunInstances", f"{EC2}:volume/*", {}, True),
        ("ec2:RunInstances", f"{EC2}:instance/*", ADMIN, True),
        ("cloudtrail:StopLogging", "*", {}, False),
        ("ec2:CreateTags", f"{EC2}:instance/i-1", {"aws:TagKeys": ["Name", "imds:ExemptUntil"]}, False),
        ("ec2:CreateTags", f"{EC2}:instance/i-1", {"aws:TagKeys": ["Name"]}, True),
        ("ec2:CreateTags", f"{EC2}:volume/vol-1", {"aws:TagKeys": ["imds:x"]}, True),
        ("ec2:DeleteTags", f"{EC2}:instance/i-1", {}, False),
        ("ec2:DeleteTags", f"{EC2}:instance/i-1", {"aws:TagKeys": ["Name"]}, True),
        ("autoscaling:CreateOrUpdateTags", GROUP, {"aws:TagKeys": ["imds:ExemptUntil"]}, False),
        ("ec2:ModifyInstanceMetadataOptions", f"{EC2}:instance/i-1", {}, False),
        ("ec2:ModifyInstanceMetadataOptions", f"{EC2}:instance/i-1", OURS, True),
    ],
)
def test_what_the_service_control_policies_deny(action, resource, context, expected):
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    present = {"aws:PrincipalArn": f"{IAM}/developer"} | context
    statements = [everything, *(s for text in POLICIES.values() for s in json.loads(text)["Statement"])]
    assert is_allowed(statements, action, resource, present) is expected
