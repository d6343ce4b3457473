"""Runs the documents' commands unchanged, and checks the policies that they show."""

import re
import subprocess
import textwrap

import pytest
from conftest import ec2_client
from documents import SET_BY_COMMANDS, Commands, commands
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
    (text,) = commands("README.md", "The policy")
    where = {name: settings()[name] for name in SET_BY_COMMANDS} | {"AWS_ENDPOINT_URL_EC2": sim.url}
    # explain exits with 1 if an instance needs a change.
    printed = start(Commands, f"{text} || [[ $? == 1 ]]", {}, **where).succeeded()
    assert instance_id in printed and "HttpTokens" in printed, printed
    assert options(ec2, instance_id)["HttpTokens"] == "optional", "nothing is changed"


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
