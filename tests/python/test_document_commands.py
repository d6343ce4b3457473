"""Runs the documents' commands unchanged, and checks the policies that they show."""

import re
import subprocess
import textwrap
from datetime import datetime, timedelta, timezone

import pytest
from aws_cli import RECORD, check, recorded
from conftest import ec2_client
from documents import PAGES, SET_BY_COMMANDS, Commands, blocks, commands
from ec2_words import options, running
from processes import ROOT, free_port, program, settings, until


@pytest.fixture
def instead() -> dict[str, str]:
    return {"4566": str(free_port())}


def test_the_readme_of_ec2_sim(start, instead):
    (text,) = commands("ec2-sim/README.md", "ec2-sim")
    printed = start(Commands, text, instead).succeeded()
    assert printed.count('"InstanceId"') == 2, printed


def test_an_ec2_for_the_aws_cli(start, instead):
    server, client = commands("docs/local.md", "An EC2 for the AWS CLI")
    sim = start(Commands, server, instead)
    until("ec2-sim", lambda: "listens on" in sim.output())
    printed = start(Commands, client, instead).succeeded()
    assert '"required"' in printed and '"optional"' not in printed, printed


def test_a_policy_is_tried_before_it_is_deployed(start, sim):
    ec2 = ec2_client(sim.url)
    (instance_id,) = running(ec2)
    (text,) = commands("docs/policy.md", "Check a policy")
    where = {name: settings()[name] for name in SET_BY_COMMANDS} | {"AWS_ENDPOINT_URL_EC2": sim.url}
    # explain exits with 1 if an instance needs a change.
    printed = start(Commands, f"{text} || [[ $? == 1 ]]", {}, **where).succeeded()
    assert instance_id in printed and "HttpTokens" in printed, printed
    assert options(ec2, instance_id)["HttpTokens"] == "optional", "nothing is changed"


@pytest.mark.parametrize(
    ("page", "heading"), [("README.md", "Four commands for an existing fleet"), ("docs/fleet.md", "Try it")]
)
def test_the_fleet_of_the_demo(start, tmp_path, page, heading):
    address = f"127.0.0.1:{free_port()}"
    keep, rest = commands(page, heading)
    demo = start(Commands, keep, {"demo --keep": f"demo --keep --listen {address}"})
    until("the demo", lambda: "In another terminal" in demo.output())
    # The commands write into the folder of the project.
    files = {name: str(tmp_path / name) for name in ("plan.json", "report.html")}
    where = {name: settings()[name] for name in SET_BY_COMMANDS} | {"AWS_ENDPOINT_URL": f"http://{address}"}
    printed = start(Commands, rest, {"127.0.0.1:4566": address} | files, **where).succeeded()
    assert "37 instances: 37 enforced" in printed, printed
    assert ("37 instances: 37 restored" in printed) == ("restore" in rest), printed


# The commands that need an AWS account, of each page that has some.
OF_AWS = {
    name: needing
    for name in (str(page.relative_to(ROOT)) for page in PAGES)
    if (needing := [block.text for block in blocks(name) if block.text.startswith("# Needs AWS")])
}


@pytest.mark.parametrize("page", OF_AWS)
def test_the_aws_cli_accepts_the_commands_that_need_aws(page, tmp_path, monkeypatch):
    """In one shell, as later commands use the functions and variables of earlier ones."""
    # Everything that the commands ask for could be one.
    answers = RECORD.replace("answer-7", "7bf73129-1428-4cd3-a780-95db273d1602")
    text = "\n".join(OF_AWS[page]).replace("stackset/package", "imdsctl")
    writes = re.findall(r"> (\S+)$", text, re.MULTILINE)
    calls = recorded([text], tmp_path, writes, **dict.fromkeys(("aws", "git", "imdsctl", "sam"), answers))
    assert calls
    for variable, value in settings(AWS_MAX_ATTEMPTS="1").items():
        monkeypatch.setenv(variable, value)
    # Where the files are that the commands name.
    monkeypatch.chdir(ROOT)
    for called, *arguments in calls:
        if called == "aws":
            check(arguments)


def test_the_daily_job_of_the_policy_page_fails_when_an_exemption_ends_soon(start, tmp_path):
    (text,) = commands("docs/policy.md", "Have exemptions reviewed")
    assert start(Commands, text, {}).succeeded() == "nothing has ended or ends within 14 days\n"
    # The policy of the page; its exemption ends on the day that the page names.
    until = f"{(datetime.now(timezone.utc) + timedelta(days=9)).date()}"
    file = tmp_path / "policy.json"
    file.write_text(policies("docs/policy.md")[0].replace("2027-03-31", until))
    ended = start(Commands, f"{text} || [[ $? == 1 ]]", {"policy/policy.json": str(file)}).succeeded()
    assert until in ended and ended.count("\n") == 1, ended
    told = re.sub(r"\d+ days left", "9 days left", ended.replace(until, "2027-03-31")).strip()
    assert f"`{told}`" in " ".join((ROOT / "docs/policy.md").read_text().split()), told


def policies(page: str) -> list[str]:
    """The policies that a page shows: whole ones, and one of all the keys that it shows alone."""
    blocks = re.findall(r"^\n((?: {4,}.*\n)+)", (ROOT / page).read_text(), re.MULTILINE)
    texts = [textwrap.dedent(block).strip() for block in blocks]
    keys = [text for text in texts if text.startswith('"')]
    return [text for text in texts if text.startswith("{")] + ([f"{{{','.join(keys)}}}"] if keys else [])


@pytest.mark.parametrize(("page", "count"), [("README.md", 1), ("docs/policy.md", 2)])
def test_the_policies_of_the_documents_are_valid(page, count):
    found = policies(page)
    assert len(found) == count
    for policy in found:
        command = [program("IMDSCTL_BIN", "the built imdsctl"), "policy", "check", "-"]
        ended = subprocess.run(command, input=policy, env=settings(), capture_output=True, text=True, timeout=30)
        assert ended.returncode == 0, f"{policy}\n{ended.stdout}{ended.stderr}"
