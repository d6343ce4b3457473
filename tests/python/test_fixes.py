"""The commands that imdsctl audit prints to mend sources, checked by the AWS CLI, which nobody here wrote.

The file fixes.txt has every command; a test of imdsctl keeps it so.
"""

import json
import re
import subprocess

import boto3
import pytest
from aws_cli import RECORD, check, recorded
from processes import REGION, ROOT, settings

FIXES = (ROOT / "imdsctl" / "tests" / "fixes.txt").read_text()


def scenarios() -> dict[str, list[str]]:
    """The commands of each scenario."""
    parts = re.split(r"^== (.*)\n", FIXES, flags=re.MULTILINE)[1:]
    return {
        name: re.findall(r"^    \$ (.*)$", text, re.MULTILINE)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


WITH_COMMANDS = {name: commands for name, commands in scenarios().items() if commands}


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_the_aws_cli_accepts_every_command(name, tmp_path, monkeypatch):
    calls = recorded(WITH_COMMANDS[name], tmp_path, aws=RECORD, kubectl=RECORD, imdsctl=RECORD)
    assert len(calls) == len(WITH_COMMANDS[name])
    for variable, value in settings(AWS_MAX_ATTEMPTS="1").items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "template.yaml").write_text("Resources: {}")
    for program, *arguments in calls:
        if program == "aws":
            check(arguments)


def test_an_invalid_command_is_noticed(monkeypatch):
    for variable, value in settings(AWS_MAX_ATTEMPTS="1").items():
        monkeypatch.setenv(variable, value)
    wrong = ["ec2", "create-launch-template-version", "--launch-template-id", "lt-1", "--launch-template-data"]
    with pytest.raises(AssertionError, match="HttpToken"):
        check([*wrong, '{"MetadataOptions":{"HttpToken":"required"}}'])
    with pytest.raises(AssertionError, match="no-such-option"):
        check(["ec2", "modify-launch-template", "--launch-template-id", "lt-1", "--no-such-option", "7"])


def test_names_arrive_as_they_are(tmp_path):
    calls = recorded(WITH_COMMANDS["Auto Scaling group"], tmp_path, aws=RECORD)
    groups = [call for call in calls if call[1] == "autoscaling"]
    assert len(groups) == 3
    assert all("web (1) it's $HOME" in call for call in groups), groups


def test_kubectl_gets_a_patch_that_is_json(tmp_path):
    get, patch = recorded(WITH_COMMANDS["Karpenter node pool"], tmp_path, kubectl=RECORD)
    assert get[1:4] == ["get", "nodepools.karpenter.sh", "default"]
    assert patch[1:4] == ["patch", "ec2nodeclasses.karpenter.k8s.aws", "answer-7"]
    assert json.loads(patch[-1]) == {
        "spec": {
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpProtocolIPv6": "disabled",
                "httpPutResponseHopLimit": 2,
                "httpTokens": "required",
            }
        }
    }


def test_a_launch_template_is_mended(moto):
    """Runs the commands, unchanged but for the ID, against an EC2 that nobody here wrote.

    It ignores --source-version.
    """
    ec2 = boto3.Session().client(
        "ec2",
        endpoint_url=moto.url,
        region_name="eu-west-1",
        aws_access_key_id="111122223333",
        aws_secret_access_key="secret",
    )
    before = {"HttpTokens": "optional", "HttpEndpoint": "enabled"}
    created = ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData={"MetadataOptions": before})
    template = created["LaunchTemplate"]["LaunchTemplateId"]
    commands = WITH_COMMANDS["launch template, no version told"]
    script = "\n".join(commands).replace("lt-0123456789abcdef0", template)
    environment = settings(AWS_ENDPOINT_URL=moto.url, AWS_PAGER="")

    ended = subprocess.run(
        ["sh", "-ec", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 0, ended.stderr
    described = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=["$Default"])
    (version,) = described["LaunchTemplateVersions"]
    assert version["VersionNumber"] == 2
    options = version["LaunchTemplateData"]["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    assert REGION != "eu-west-1", "the commands name the Region themselves"
