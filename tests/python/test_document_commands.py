"""Runs the documents' commands unchanged."""

import pytest
from conftest import ec2_client
from documents import SET_BY_COMMANDS, Commands, commands
from ec2_words import options, running
from processes import free_port, settings, until


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
