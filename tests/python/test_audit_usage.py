"""imdsctl audit: the use of IMDSv1, and accounts and Regions in trouble while the others are read."""

import json
from collections import Counter

import pytest
from audits import NO_GATE, ROLE, accounts, add, calls, decisions, document, member, policy
from conftest import starting
from fleet import imdsctl, started
from processes import ACCOUNT, REGION, Ec2Sim

METRIC = "MetadataNoToken"
DENIED, MISSING, HANGING, THROTTLED = map(member, range(4))
# What is wrong with CloudWatch in each Region.
TROUBLES = {
    "us-east-2": "throttle",
    "us-west-1": "server-error",
    "us-west-2": {"hang": None},
    "eu-west-1": "partial-data",
    "eu-west-2": "internal-error",
    "eu-west-3": "malformed",
    "eu-north-1": "deny",
    "eu-central-1": "forbidden",
}
REFUSALS = {"eu-north-1", "eu-central-1"}


@pytest.fixture
def sim(start) -> Ec2Sim:
    return start(Ec2Sim)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """Audits that run beside the other tests, as some of their calls wait for half a minute."""
    with starting(tmp_path_factory.mktemp("troubled")) as start:
        sim = start(Ec2Sim)
        for region, kind in TROUBLES.items():
            add(sim, 2, region=region)
            sim.fault(kind=kind, action="GetMetricData", region=region, when="always")
        sim.publish_days(METRIC, add(sim, 3), 0.0)
        for account in (DENIED, MISSING, HANGING, THROTTLED):
            add(sim, 1, account)
        sim.fault(kind="deny", action="DescribeInstances", account=DENIED, when="always")
        sim.fault(kind="deny", action="AssumeRole", account=MISSING, when="always")
        sim.fault(kind={"hang": None}, action="AssumeRole", account=HANGING, when="always")
        sim.fault(kind="throttle", action="DescribeInstances", account=THROTTLED, when="always")
        regions = [part for region in (REGION, *TROUBLES) for part in ("--region", region)]
        command = ["audit", "--format", "json"]
        processes = [
            started(*command, *regions, url=sim.url),
            started(*command, *accounts(ACCOUNT, DENIED, MISSING, HANGING, THROTTLED), *ROLE, url=sim.url),
        ]
        yield processes
        for process in processes:
            process.kill()


@pytest.fixture(autouse=True)
def beside(troubled):
    """The troubled audits begin with the first test."""


def used(sim, *arguments, exits: int, **more) -> dict[str, tuple]:
    """The decision on each instance, and its calls."""
    audit = document(sim, *arguments, exits=exits, **more)
    use = {instance["instanceId"]: instance["usage"] for instance in audit["instances"]}
    return {
        instance["instanceId"]: (
            instance["decision"],
            use[instance["instanceId"]] and use[instance["instanceId"]]["calls"],
        )
        for instance in audit["instances"]
    }


def test_a_thousand_instances_take_two_calls(sim):
    ids = add(sim, 1000)
    sim.publish_days(METRIC, ids, 0.0)
    sim.publish_days(METRIC, ids[:5], 3.0)
    found = used(sim, exits=1)
    assert Counter(found.values()) == {("change", 0): 995, ("in-use", 42): 5}
    assert {id for id, (decision, _) in found.items() if decision == "in-use"} == set(ids[:5])
    assert calls(sim)["GetMetricData"] == 2
    (row,) = {tuple(sorted(c["parameters"].items())) for c in sim.calls("GetMetricData") if "Period" in c["parameters"]}
    assert {("Namespace", "AWS/EC2"), ("MetricName", METRIC), ("Stat", "Sum")} <= {(k, str(v)) for k, v in row}


def test_use_is_shown_of_all_that_accept_imdsv1_without_a_gate(sim, tmp_path):
    quiet, busy, required = add(sim), add(sim), add(sim, tokens="required")
    off = add(sim, options={"HttpEndpoint": "disabled"})
    sim.publish_days(METRIC, quiet, 0.0)
    sim.publish_days(METRIC, busy + required + off, 7.0)
    file = policy(tmp_path, NO_GATE)
    found = used(sim, "--policy", file, exits=1)
    assert found[quiet[0]] == ("change", 0) and found[busy[0]] == ("change", 98)
    assert found[required[0]] == ("compliant", None) and found[off[0]][1] is None
    fewer = used(sim, "--policy", file, "--usage-days", "3", exits=1)
    assert fewer[busy[0]] == ("change", 28), "three days and today"


def test_usage_days_zero_asks_nothing(sim, tmp_path):
    sim.publish_days(METRIC, add(sim, 5), 1.0)
    audit = document(sim, "--usage-days", "0", exits=1)
    assert (decisions(audit), audit["usageDays"], audit["complete"]) == ({"needs-usage": 5}, 0, True)
    assert used(sim, "--usage-days", "0", "--policy", policy(tmp_path, NO_GATE), exits=1).popitem()[1] == (
        "change",
        None,
    )
    assert calls(sim)["GetMetricData"] == 0


def test_the_days_that_are_shown_do_not_change_the_decision(sim):
    ids = add(sim, 2)
    sim.publish_days(METRIC, ids, 0.0)
    day_ten = {"region": REGION, "instances": ids[:1], "metric": METRIC, "sums": {"10": 5}}
    sim.control("POST", "metrics", day_ten)
    for days, shown in ((1, 0), (14, 5), (90, 5)):
        found = used(sim, "--usage-days", str(days), exits=1)
        assert found == {ids[0]: ("in-use", shown), ids[1]: ("change", 0)}, days


def test_two_pages_of_cloudwatch_are_one_answer(start):
    sim = start(Ec2Sim, "--datapoints-per-page", "50")
    ids = add(sim, 20)
    sim.publish_days(METRIC, ids, 2.0)
    found = used(sim, exits=1)
    assert set(found.values()) == {("in-use", 28)} and calls(sim)["GetMetricData"] > 2


def test_a_permission_for_usage_that_is_missing_is_a_warning(sim):
    add(sim, 700)
    add(sim, 2, tokens="required")
    sim.fault(kind="deny", action="GetMetricData", when="always")
    audit = document(sim, exits=1)
    assert audit["complete"] and audit["errors"] == []
    warnings = [warning for warning in audit["warnings"] if "IMDSv1" in warning]
    assert len(warnings) == 1 and "cloudwatch:GetMetricData" in warnings[0] and REGION in warnings[0]
    assert decisions(audit) == {"in-use": 700, "compliant": 2}, "a refusal holds"
    assert all(instance["usage"] is None for instance in audit["instances"])
    ended = imdsctl("audit", url=sim.url)
    assert ended.returncode == 1 and ended.stdout.count("warning: " + warnings[0][:60]) == 1


# ---- What is in trouble. These tests come last, as they wait for the audits beside the others. ----


def ended(process) -> dict:
    output, errors = process.communicate(timeout=60)
    assert process.returncode in (1, 2), errors
    return json.loads(output) | {"exit": process.returncode}


def test_accounts_in_trouble_are_named_and_the_others_are_read(troubled):
    audit = ended(troubled[1])
    assert (audit["exit"], audit["complete"]) == (2, False)
    assert {instance["account"] for instance in audit["instances"]} == {ACCOUNT}
    causes = {
        DENIED: "ec2:DescribeInstances returned UnauthorizedOperation",
        MISSING: "sts:AssumeRole returned AccessDenied",
        HANGING: "sts:AssumeRole returned no usable response",
        THROTTLED: "ec2:DescribeInstances returned RequestLimitExceeded",
    }
    assert len(audit["errors"]) == len(causes)
    for (account, cause), error in zip(sorted(causes.items()), audit["errors"], strict=True):
        assert error.startswith(f"{account} {REGION}: the instances cannot be listed: {cause}"), error


def test_trouble_with_cloudwatch_is_a_warning_and_the_exit_code_stays_1(troubled):
    audit = ended(troubled[0])
    assert (audit["exit"], audit["complete"], audit["errors"]) == (1, True, [])
    assert len(audit["instances"]) == 2 * len(TROUBLES) + 3
    for region in TROUBLES:
        found = {(i["decision"], i["usage"] is None) for i in audit["instances"] if i["region"] == region}
        assert found == {("in-use" if region in REFUSALS else "needs-usage", True)}, region
        warnings = [text for text in audit["warnings"] if f"{ACCOUNT} {region}: the use of IMDSv1 is not known" in text]
        assert len(warnings) == 1, f"{region}: {audit['warnings']}"
    assert {i["decision"] for i in audit["instances"] if i["region"] == REGION} == {"change"}
