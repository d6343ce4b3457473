"""The owner and the ticket of a rule: wherever imdsctl names the rule, and where a program is to be told what ends."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from audits import add, document, policy
from conftest import AwsCli
from fleet import imdsctl
from processes import Ec2Sim

LABEL = {"owner": "payments", "ticket": "SEC-1234"}
TOLD = "(owner: payments, ticket: SEC-1234)"
EXEMPT = {"when": {"tags": {"App": "payroll"}}, "exempt": {"until": "2999-12-31"}} | LABEL
HOPS = {"when": {"tags": {"App": "web"}}, "require": {"HttpPutResponseHopLimit": 1}} | LABEL
POLICY = {
    "baseline": {"HttpTokens": "required"},
    "rules": [{"name": "payroll", **EXEMPT}, {"name": "one hop", **HOPS}],
}
REASONS = {
    "exempt": f'rule "payroll" exempts the instance through 2999-12-31 {TOLD}',
    "change": f'rule "one hop" requires HttpPutResponseHopLimit=1 {TOLD}',
}


@pytest.fixture
def sim(start) -> Ec2Sim:
    sim = start(Ec2Sim)
    add(sim, tags={"App": "payroll"})
    add(sim, tags={"App": "web"}, options={"HttpPutResponseHopLimit": "2"})
    return sim


def test_an_audit_names_them_in_each_format(sim, tmp_path):
    file = policy(tmp_path, POLICY)
    found = document(sim, "--policy", file, exits=1)
    told = {instance["decision"]: instance["reasons"] for instance in found["instances"]}
    assert told.keys() == REASONS.keys()
    for decision, reason in REASONS.items():
        assert reason in told[decision], told
    for form in ("csv", "html"):
        ended = imdsctl("audit", "--policy", file, "--format", form, url=sim.url)
        assert ended.returncode == 1 and ended.stdout.count(TOLD) >= 2, f"{form}: {ended.stdout}{ended.stderr}"


def test_a_plan_its_application_and_the_journal_name_them(sim, tmp_path):
    file, plan = policy(tmp_path, POLICY), tmp_path / "plan.json"
    ended = imdsctl("plan", "--policy", file, "--output", plan, url=sim.url)
    assert ended.returncode == 1, ended.stderr
    assert REASONS["change"] in json.loads(plan.read_text())["changes"][0]["reasons"]
    ended = imdsctl("apply", plan, "--yes", url=sim.url)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    journal = [json.loads(line) for line in (tmp_path / "plan.json.journal.jsonl").read_text().splitlines()]
    outcomes = [line for line in journal if line["kind"] == "outcome"]
    assert [REASONS["change"] in line["reasons"] for line in outcomes] == [True], journal


def test_explain_names_them(sim, tmp_path):
    file = policy(tmp_path, POLICY)
    described = json.dumps(AwsCli(sim.url)("describe-instances"))
    ended = imdsctl("explain", "--policy", file, "--json", url=sim.url, stdin=described)
    told = {entry["decision"]: entry["reasons"] for entry in json.loads(ended.stdout)}
    assert all(reason in told[decision] for decision, reason in REASONS.items()), told
    ended = imdsctl("explain", "--policy", file, url=sim.url, stdin=described)
    # Lines are not wrapped in a pipe.
    assert all(f"because {reason}\n" in ended.stdout for reason in REASONS.values()), ended.stdout


def test_a_program_is_told_what_ends_and_whom_to_ask(tmp_path):
    until = f"{(datetime.now(timezone.utc) + timedelta(days=5)).date()}"
    rules = [{"name": "payroll", **EXEMPT, "exempt": {"until": until}}, {"name": "one hop", **HOPS}]
    file = policy(tmp_path, POLICY | {"rules": rules})
    check = ["policy", "check", "--expiring"]
    ended = imdsctl(*check, "7", "--json", file, url="http://127.0.0.1:9")
    assert (ended.returncode, ended.stderr) == (1, "")
    ((found,),) = [entry["expiring"] for entry in json.loads(ended.stdout)]
    assert found.pop("daysLeft") in (4, 5), "4 if it is midnight now"
    place = {"place": "rules[0].exempt.until", "kind": "exemption", "rule": "payroll", "until": until}
    assert found == place | LABEL
    assert imdsctl(*check, "2", file, url="http://127.0.0.1:9").returncode == 0
