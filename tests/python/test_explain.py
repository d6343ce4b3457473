"""What the AWS CLI prints, piped into imdsctl explain unchanged."""

import json
import shlex
import subprocess

import pytest
from conftest import AwsCli, ec2_client
from ec2_words import launch, running
from processes import ROOT, program, settings


def explain(described: str, *arguments: str) -> subprocess.CompletedProcess:
    imdsctl = program("IMDSCTL_BIN", "the built imdsctl")
    command = [imdsctl, "explain", "--policy", ROOT / "policy/policy.json", *arguments]
    return subprocess.run(command, env=settings(), input=described, capture_output=True, text=True, timeout=30)


@pytest.fixture(params=["ec2-sim", "moto"])
def pair(request):
    """An AWS CLI, an instance with optional tokens, and one with required tokens; neither has tags."""
    if request.param == "ec2-sim":
        url = request.getfixturevalue("sim").url
        ec2 = ec2_client(url)
        old, new = running(ec2, options={"HttpTokens": "optional"}) + running(ec2, options={"HttpTokens": "required"})
    else:
        url = request.getfixturevalue("moto").url
        ec2 = ec2_client(url)
        image = ec2.describe_images()["Images"][0]["ImageId"]
        old = launch(ec2, options={"HttpTokens": "optional"}, ImageId=image)[0]
        new = launch(ec2, options={"HttpTokens": "required"}, ImageId=image)[0]
    return AwsCli(url), old, new


def decided(ended: subprocess.CompletedProcess) -> dict:
    assert ended.returncode == 1, ended.stderr
    return {entry["instanceId"]: (entry["decision"], entry["change"]) for entry in json.loads(ended.stdout)}


def test_describe_instances_pipes_into_explain(pair):
    aws, old, new = pair
    printed = aws.run("describe-instances", "--instance-ids", old, new).stdout

    assert decided(explain(printed, "--json")) == {
        old: ("change", {"HttpTokens": "required"}),
        new: ("compliant", {}),
    }
    assert "2 instances: 1 change, 1 compliant" in explain(printed).stdout


def test_the_query_in_the_error_keeps_what_decisions_need(pair):
    aws, old, new = pair
    describe = ["describe-instances", "--instance-ids", old, new]
    short = aws.run(*describe, "--query", "Reservations[].Instances[].{InstanceId:InstanceId}").stdout

    refused = explain(short)

    assert (refused.returncode, "lacks State.Name" in refused.stderr) == (2, True), refused.stderr
    query = shlex.split(refused.stderr.splitlines()[-1])
    assert query[0] == "--query"
    # The query makes the absent tags of these instances null, which means that they have none.
    assert decided(explain(aws.run(*describe, *query).stdout, "--json")) == {
        old: ("change", {"HttpTokens": "required"}),
        new: ("compliant", {}),
    }
