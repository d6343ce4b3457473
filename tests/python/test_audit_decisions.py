"""imdsctl audit and plan decide as the function does, on a fleet that has an instance of each kind."""

import json

import pytest
import sample_events
from audits import add, document, policy
from conftest import ec2_client
from ec2_words import describe
from fleet import changed, imdsctl, outcomes
from processes import ACCOUNT, REGION, Ec2Sim, Function

POLICY = {
    "baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 2}},
    "usageGate": {"lookbackDays": 14},
    "rules": [
        {"name": "vaults", "when": {"tags": {"Imds": "off"}}, "require": {"HttpEndpoint": "disabled"}},
        {"name": "payroll", "when": {"tags": {"App": "payroll-*"}}, "exempt": {"until": "2999-12-31"}},
        {"name": "trial", "when": {"tags": {"aws:autoscaling:groupName": "trial"}}, "mode": "dry-run"},
        {"name": "free", "when": {"tags": {"aws:autoscaling:groupName": "free"}}, "usageGate": False},
    ],
}
METRIC = "MetadataNoToken"
# The change of tokens is held back, that of the hop limit is not.
HELD = "used, too many hops"
# Each kind: fields of the instance, calls a day (None: nothing is published), and the decision.
KINDS = {
    "unused": ({}, 0, "change"),
    "used": ({}, 5, "in-use"),
    "unknown": ({}, None, "in-use"),
    HELD: ({"options": {"HttpPutResponseHopLimit": "9"}}, 5, "in-use"),
    "required": ({"tokens": "required"}, None, "compliant"),
    "required, too many hops": ({"tokens": "required", "options": {"HttpPutResponseHopLimit": "64"}}, None, "change"),
    "off": ({"options": {"HttpEndpoint": "disabled"}}, None, "compliant"),
    "vault": ({"tags": {"Imds": "off"}}, 9, "change"),
    "exempt": ({"tags": {"App": "payroll-7"}}, 9, "exempt"),
    "one hop by tag": (
        {"tags": {"imds:HttpPutResponseHopLimit": "1"}, "options": {"HttpPutResponseHopLimit": "2"}},
        0,
        "change",
    ),
    "loosening tag": ({"tags": {"imds:HttpTokens": "optional"}}, 0, "change"),
    "stopped": ({"state": "stopped"}, 0, "change"),
    "managed": ({"operator": "eks.amazonaws.com"}, 0, "out-of-scope"),
    "dry run": ({"tags": {"aws:autoscaling:groupName": "trial"}}, 0, "change"),
    "without a gate": ({"tags": {"aws:autoscaling:groupName": "free"}}, 50, "change"),
    "metadata tags": ({"options": {"InstanceMetadataTags": "enabled"}, "tags": {"Team": "payments"}}, 0, "change"),
}


@pytest.fixture
def sim(start) -> Ec2Sim:
    return start(Ec2Sim, "--apply-delay", "50")


@pytest.fixture
def fleet(sim) -> dict[str, str]:
    """The instance of each kind."""
    ids = {}
    for kind, (fields, usage, _) in KINDS.items():
        (ids[kind],) = add(sim, **fields)
        if usage is not None:
            sim.publish_days(METRIC, [ids[kind]], usage)
    return ids


def outcome(row: dict) -> str:
    """The outcome of the function for a row of the audit."""
    if row["decision"] != "change":
        return row["decision"]
    return "would-enforce" if row["mode"] == "dry-run" else "enforced"


def by_kind(fleet: dict[str, str], rows: list[dict]) -> dict[str, dict]:
    kinds = {instance_id: kind for kind, instance_id in fleet.items()}
    return {kinds[row["instanceId"]]: row for row in rows}


def test_the_audit_decides_on_each_kind(sim, fleet, tmp_path):
    audit = document(sim, "--policy", policy(tmp_path, POLICY), exits=1)
    rows = by_kind(fleet, audit["instances"])
    assert {kind: row["decision"] for kind, row in rows.items()} == {kind: row[2] for kind, row in KINDS.items()}
    assert {kind for kind, row in rows.items() if row["mode"] == "dry-run"} == {"dry run"}
    assert {kind for kind, row in rows.items() if row["change"]} == {
        kind for kind, row in KINDS.items() if row[2] == "change" or kind == HELD
    }
    assert changed(sim) == []


def test_an_instance_whose_tokens_are_held_back_counts_as_in_use(sim, tmp_path):
    sim.publish_days(METRIC, add(sim, options={"HttpPutResponseHopLimit": "9"}), 5)
    ended = imdsctl("audit", "--policy", policy(tmp_path, POLICY), url=sim.url)
    assert ended.returncode == 1 and "HttpPutResponseHopLimit: 9 -> 2" in ended.stdout
    assert "1 in use" in ended.stdout, ended.stdout


def test_the_audit_tells_what_the_function_does(sim, fleet, start, tmp_path):
    file = policy(tmp_path, POLICY)
    audit = by_kind(fleet, document(sim, "--policy", file, exits=1)["instances"])
    sim.forget_calls()
    function = start(Function, sim.url, IMDS_POLICY_FILE=str(file))
    function.invoke(sample_events.about("imds-enforcer-sweep", []))
    told = by_kind(fleet, [line for line in function.log_lines() if "outcome" in line])
    for kind, row in audit.items():
        done = told.get(kind, {"outcome": row["decision"]})
        assert done["outcome"] == outcome(row), kind
        assert done.get("change") == row["change"], kind
        assert done.get("reasons", row["reasons"]) == row["reasons"], kind
    sent = {call["parameters"]["InstanceId"] for call in sim.calls("ModifyInstanceMetadataOptions")}
    assert sent == {row["instanceId"] for row in audit.values() if row["change"]}


def test_the_plan_is_what_the_audit_tells_and_apply_does_it(sim, fleet, tmp_path):
    file, plan = policy(tmp_path, POLICY), tmp_path / "plan.json"
    audit = by_kind(fleet, document(sim, "--policy", file, exits=1)["instances"])
    ended = imdsctl("plan", "--policy", file, "--output", plan, url=sim.url)
    assert ended.returncode == 1, ended.stderr
    assert "1 more instance is not in the plan, as their policy only sends dry runs." in ended.stdout
    written = json.loads(plan.read_text())
    planned = by_kind(fleet, written["changes"])
    due = {kind for kind, row in audit.items() if row["change"] and row["mode"] == "enforce"}
    assert planned.keys() == due
    for kind, change in planned.items():
        for field in ("account", "region", "before", "change", "reasons", "warnings"):
            assert change[field] == audit[kind][field], f"{kind}: {field}"
    assert written["policy"] == POLICY and written["complete"]
    assert written["counts"] == {word: [row[2] for row in KINDS.values()].count(word) for word in written["counts"]}

    before = {shown["InstanceId"]: shown["MetadataOptions"] for shown in describe(ec2_client(sim.url), *fleet.values())}
    sim.forget_calls()
    applied = imdsctl("apply", plan, "--yes", url=sim.url)
    assert applied.returncode in (0, 1), applied.stderr
    assert sorted(changed(sim)) == sorted(fleet[kind] for kind in due)
    assert {outcomes(plan)[fleet[kind]] for kind in due} == {"enforced"}
    for shown in describe(ec2_client(sim.url), *fleet.values()):
        (kind,) = [kind for kind, instance_id in fleet.items() if instance_id == shown["InstanceId"]]
        wanted = planned.get(kind, {}).get("change", {})
        expected = before[shown["InstanceId"]] | wanted
        names = before[shown["InstanceId"]].keys() - {"State"}
        assert {name: shown["MetadataOptions"][name] for name in names} == {name: expected[name] for name in names}, (
            kind
        )

    again = imdsctl("plan", "--policy", file, "--output", plan, url=sim.url)
    assert again.returncode == 2 and "is the journal of an earlier plan" in again.stderr
    again = imdsctl("plan", "--policy", file, "--output", tmp_path / "again.json", url=sim.url)
    assert (again.returncode, "There is nothing to change." in again.stdout) == (0, True), again.stdout


def test_a_plan_of_a_fleet_that_is_as_required_is_empty(sim, tmp_path):
    add(sim, 3, tokens="required")
    plan = tmp_path / "plan.json"
    ended = imdsctl("plan", "--output", plan, url=sim.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "3 instances: 3 compliant" in ended.stdout and "There is nothing to change." in ended.stdout
    assert json.loads(plan.read_text())["changes"] == []


def test_a_plan_asks_for_the_use_of_those_only_whose_change_depends_on_it(sim, tmp_path):
    gated = add(sim)
    add(sim, tokens="required")
    add(sim, tags={"aws:autoscaling:groupName": "free"})
    imdsctl("plan", "--policy", policy(tmp_path, POLICY), "--output", tmp_path / "plan.json", url=sim.url)
    assert [call["instanceIds"] for call in sim.calls("GetMetricData")] == [gated]


def test_an_audit_changes_nothing(sim, fleet, tmp_path):
    document(sim, "--policy", policy(tmp_path, POLICY), exits=1)
    reads = ("Describe", "Get", "List", "AssumeRole")
    assert [call["action"] for call in sim.calls() if not call["action"].startswith(reads)] == []
    assert {call["account"] for call in sim.calls()} == {ACCOUNT} and {call["region"] for call in sim.calls()} == {
        REGION
    }
