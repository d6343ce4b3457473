"""The template holds what it says: who may send, what is kept, what is granted, and what alarms and widgets look at."""

import json
import re

import pytest
import sample_events
from cfn import Filled, as_list, attribute
from ec2_words import launch, running
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


def test_queues_fit_their_functions():
    filled = Filled()
    queues = filled.of_type("AWS::SQS::Queue")
    for name, function in filled.of_type("AWS::Serverless::Function").items():
        source = function["Events"]["Queue"]["Properties"]
        queue = queues[source["Queue"]["Fn::GetAtt"][0]]
        window = source.get("MaximumBatchingWindowInSeconds", 0)
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + window, name
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name


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


def granted(filled: Filled, role: str) -> set[str]:
    allowed = [s for s in statements(filled, role) if s["Effect"] == "Allow"]
    return {action for statement in allowed for action in as_list(statement["Action"])}


def called(sim) -> set[str]:
    return {f"ec2:{call['action']}" for call in sim.calls()}


@pytest.mark.parametrize("allow_loosening", ["false", "true"])
def test_what_is_granted_is_called_and_what_is_called_is_granted(start, sim, ec2, allow_loosening):
    tokens = "optional" if allow_loosening == "true" else "required"
    policy = {"baseline": {"HttpTokens": tokens}, "instanceTags": {"authority": "loosen"}}
    function = start(Function, sim.url, IMDS_POLICY_FILE="", IMDS_POLICY=json.dumps(policy))
    ids = running(ec2, 2, options={"HttpTokens": "required" if tokens == "optional" else "optional"})
    sim.forget_calls()
    function.invoke(sample_events.about("ec2-launch-one", ids[:1]))
    function.invoke(sample_events.batch(json.dumps(sample_events.about("ec2-state-running", ids[1:]))))
    launch(ec2)
    sim_calls = called(sim) - {"ec2:RunInstances"}
    filled = Filled(AllowLoosening=allow_loosening)
    for role in ("EnforcerRole", "SweeperRole"):
        assert granted(filled, role) == sim_calls | LAMBDAS_OWN
    function.invoke(sample_events.about("imds-enforcer-sweep", []))
    assert called(sim) - {"ec2:RunInstances"} == sim_calls, "a sweep takes no more"


def metrics_of(alarm: dict) -> list[tuple[str, str, list[dict]]]:
    """The metrics that an alarm looks at: namespace, name, dimensions."""
    if "MetricName" in alarm:
        return [(alarm["Namespace"], alarm["MetricName"], alarm["Dimensions"])]
    stats = [query["MetricStat"]["Metric"] for query in alarm["Metrics"] if "MetricStat" in query]
    return [(metric["Namespace"], metric["MetricName"], metric["Dimensions"]) for metric in stats]


def searched(expression: str) -> list[tuple[str, str, dict]]:
    """The metrics that a widget's search finds, if it is one."""
    found = []
    for search in re.findall(r"SEARCH\('([^']*)'", expression):
        schema, query = re.match(r"\{([^}]*)\} (.*)", search).groups()
        namespace, *dimensions = schema.split(",")
        names = re.search(r"MetricName=\(([^)]*)\)", query).group(1)
        values = dict(re.findall(r'(\w+)="([^"]*)"', query.replace(names, "")))
        assert values.keys() == set(dimensions)
        found += [(namespace, name, values) for name in re.findall(r'"(\w+)"', names)]
    return found


def looked_at(filled: Filled) -> dict[str, list[tuple[str, str, dict]]]:
    """What each alarm and widget looks at: namespace, name, and dimensions by name."""
    found = {}
    for name, alarm in filled.of_type("AWS::CloudWatch::Alarm").items():
        found[name] = [
            (namespace, metric, {d["Name"]: d["Value"] for d in dimensions})
            for namespace, metric, dimensions in metrics_of(alarm)
        ]
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
                others = {key: value for key, value in dimensions.items() if key != "Mode"}
                assert dimensions["Mode"] in modes, row
                assert (metric, frozenset(others.items())) in written.names, row
            else:
                assert metric in AWS_METRICS[namespace], row
                ((key, value),) = dimensions.items()
                assert exists(filled, key, value), row


def test_what_alarms_add_up_is_there_and_gaps_are_filled():
    for name, alarm in Filled().of_type("AWS::CloudWatch::Alarm").items():
        if "Metrics" not in alarm:
            continue
        (expression,) = [query["Expression"] for query in alarm["Metrics"] if "Expression" in query]
        ids = {query["Id"] for query in alarm["Metrics"] if "MetricStat" in query}
        assert set(re.findall(r"\b[a-z]+\b", expression)) == ids, name
        is_filled = len(re.findall(r"FILL\([a-z]+, 0\)", expression)) == len(ids)
        # Calls and throttles are written together.
        assert is_filled or ids == {"calls", "throttles"}, name


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
        assert len(alarm["AlarmDescription"]) > 80, name
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic], name
    assert not any("AlarmActions" in alarm for alarm in Filled().of_type("AWS::CloudWatch::Alarm").values())


def service_control_policy() -> dict:
    """The one of SECURITY.md."""
    text = (ROOT / "SECURITY.md").read_text()
    return json.loads(re.search(r"^    \{\n(?:    .*\n)+", text, re.MULTILINE).group())


def test_the_service_control_policy_fits():
    policy = service_control_policy()
    assert len(json.dumps(policy, separators=(",", ":"))) < 5120, "the most that Organizations takes"
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Deny"}


IAM, ADMIN = "arn:aws:iam::111122223333:role", {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/platform-admin"}
SQS, EC2 = "arn:aws:sqs:us-east-1:111122223333", "arn:aws:ec2:us-east-1:111122223333"
GROUP = "arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:x:autoScalingGroupName/g"
OURS = {"aws:PrincipalArn": f"{IAM}/imds-enforcer-EnforcerRole-1"}
LAMBDA = "arn:aws:lambda:us-east-1:111122223333:function"


@pytest.mark.parametrize(
    ("action", "resource", "context", "expected"),
    [
        ("iam:PassRole", f"{IAM}/imds-enforcer-EnforcerRole-1", {}, False),
        ("iam:PassRole", f"{IAM}/app", {}, True),
        ("iam:PutRolePolicy", f"{IAM}/imds-enforcer-member", {}, False),
        ("iam:PutRolePolicy", f"{IAM}/imds-enforcer-member", ADMIN, True),
        ("iam:PutRolePolicy", f"{IAM}/imds-enforcer-member", {"aws:PrincipalArn": f"{IAM}/stacksets-exec-1"}, True),
        ("iam:CreateRole", f"{IAM}/stacksets-exec-x", {}, False),
        ("iam:PutRolePolicy", f"{IAM}/platform-admin", {}, False),
        ("iam:CreateRole", f"{IAM}/imds-enforcer-x", {}, False),
        ("iam:GetRole", f"{IAM}/imds-enforcer-member", {}, True),
        ("sqs:ReceiveMessage", f"{SQS}:imds-enforcer-Queue-1", OURS, True),
        ("sqs:SendMessage", f"{SQS}:imds-enforcer-Queue-1", {}, False),
        ("sqs:SendMessage", f"{SQS}:orders", {}, True),
        ("events:DisableRule", "arn:aws:events:us-east-1:111122223333:rule/StackSet-imds-enforcer-1", {}, False),
        ("events:DisableRule", "arn:aws:events:us-east-1:111122223333:rule/nightly", {}, True),
        ("lambda:InvokeFunction", f"{LAMBDA}:imds-enforcer-Enforcer-1", {}, False),
        ("lambda:UpdateEventSourceMapping", "*", {"lambda:FunctionArn": f"{LAMBDA}:imds-enforcer-Enforcer-1"}, False),
        ("lambda:UpdateEventSourceMapping", "*", {"lambda:FunctionArn": f"{LAMBDA}:orders"}, True),
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
def test_what_the_service_control_policy_denies(action, resource, context, expected):
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    present = {"aws:PrincipalArn": f"{IAM}/developer"} | context
    statements = [everything, *service_control_policy()["Statement"]]
    assert is_allowed(statements, action, resource, present) is expected
