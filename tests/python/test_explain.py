"""What the AWS CLI prints, piped into imdsctl explain unchanged."""

import json
import subprocess

import pytest
from conftest import AwsCli, ec2_client
from ec2_words import launch, running
from processes import ROOT, program, settings


def explain(described: str, *arguments: str) -> subprocess.CompletedProcess:
    imdsctl = program("IMDSCTL_BIN", "the built imdsctl")
    command = [imdsctl, "explain", "--policy", ROOT / "policy/policy.json", *arguments]
    return subprocess.run(command, env=settings(), input=described, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("where", ["ec2-sim", "moto"])
def test_describe_instances_pipes_into_explain(request, where):
    if where == "ec2-sim":
        url = request.getfixturevalue("sim").url
        ec2 = ec2_client(url)
        old, new = running(ec2, options={"HttpTokens": "optional"}) + running(ec2, options={"HttpTokens": "required"})
    else:
        url = request.getfixturevalue("moto").url
        ec2 = ec2_client(url)
        image = ec2.describe_images()["Images"][0]["ImageId"]
        old = launch(ec2, options={"HttpTokens": "optional"}, ImageId=image)[0]
        new = launch(ec2, options={"HttpTokens": "required"}, ImageId=image)[0]
    printed = AwsCli(url).run("describe-instances", "--instance-ids", old, new).stdout

    ended = explain(printed, "--json")

    assert ended.returncode == 1, ended.stderr
    decided = {entry["instanceId"]: (entry["decision"], entry["change"]) for entry in json.loads(ended.stdout)}
    assert decided == {old: ("change", {"HttpTokens": "required"}), new: ("compliant", {})}
    assert "2 instances: 1 change, 1 compliant" in explain(printed).stdout
