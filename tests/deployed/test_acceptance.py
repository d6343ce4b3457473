"""The acceptance script of tests/acceptance, with the emulators as its AWS."""

import os
import shutil
import signal
import subprocess

import pytest
from cloud import BUILT, Cloud
from ec2_words import instances, launch, options
from processes import ROOT, until

CHECKS = ["deployment", "rules", "launch", "drift", "sweep", "alarms", "redrive"]


def command(cloud: Cloud, *arguments: str) -> list[str]:
    # New rules match at once here.
    ours = ["--yes", "--build", str(BUILT), "--parameter", f"Ec2EndpointUrl={cloud.sim.url}", "--settle", "0"]
    return [str(ROOT / "tests" / "acceptance" / "run"), *ours, *arguments]


def nothing_is_left(cloud: Cloud):
    """The script left no stack, no logs, no package and no running instance."""
    stacks = cloud.client("cloudformation").list_stacks()["StackSummaries"]
    alive = [stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"]
    assert set(alive) <= {"aws-sam-cli-managed-default"}
    assert not cloud.client("logs").describe_log_groups()["logGroups"]
    s3 = cloud.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        assert not s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents")
    of_the_script = [{"Name": "tag-key", "Values": ["imds-enforcer-acceptance"]}]
    found = instances(cloud.client("ec2").describe_instances(Filters=of_the_script))
    assert {instance["State"]["Name"] for instance in found} <= {"shutting-down", "terminated"}


def test_it_passes_removes_everything_and_leaves_other_instances_alone(cloud):
    tempting = {"imds:HttpTokens": "required", "imds-enforcer-acceptance": "another-run"}
    (other,) = launch(cloud.client("ec2"), options={"HttpTokens": "optional"}, tags=tempting)
    # A value may have blanks.
    ended = cloud.run(*command(cloud, "--timeout", "30", "--parameter", "SweepSchedule=rate(12 hours)"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    passed = [line.split()[1].rstrip(":") for line in ended.stdout.splitlines() if line.startswith("ok ")]
    assert passed == CHECKS
    assert options(cloud.client("ec2"), other)["HttpTokens"] == "optional"
    cloud.client("ec2").terminate_instances(InstanceIds=[other])
    nothing_is_left(cloud)


def test_a_check_that_fails_is_named_and_everything_is_removed(cloud):
    cloud.sim.fault(action="ModifyInstanceMetadataOptions", kind="deny")
    ended = cloud.run(*command(cloud, "--timeout", "4"))
    cloud.sim.control("DELETE", "faults")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("FAILED launch: "), ended.stderr
    nothing_is_left(cloud)


def test_an_interruption_removes_everything(cloud):
    process = subprocess.Popen(
        command(cloud, "--timeout", "60"),
        env=cloud.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A terminal sends the signal to all processes in the foreground.
        start_new_session=True,
        # A shell starts a background job with the signal ignored, and no script can then handle it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    before = len(cloud.sim.calls("RunInstances"))
    until("the launch", lambda: len(cloud.sim.calls("RunInstances")) > before, within=40)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    nothing_is_left(cloud)


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["--nonsense"], "--nonsense is not an option"),
        (["--nonsense", "x"], "--nonsense is not an option"),
        (["--timeout", "soon"], "--timeout must be a number of seconds from 1 to 99999, and is soon"),
        (["--timeout", "08"], "--timeout must be a number of seconds from 1 to 99999, and is 08"),
        (["--stack-name", "--yes"], "--stack-name is not an option, or needs a value"),
        (["--stack-name", "a stack"], "a stack is not a valid name of a stack"),
        (["--s3-bucket", "a bucket"], "a bucket is not a valid name of a bucket"),
        (["--parameter", "Mode=dry-run"], "--parameter takes NAME=VALUE, and not Mode"),
        (["--build", "nowhere"], "nowhere/template.yaml is missing"),
        ([], "not started"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_made(cloud, arguments, why):
    ended = cloud.run(ROOT / "tests" / "acceptance" / "run", "--build", BUILT, *arguments)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert why in ended.stderr
    nothing_is_left(cloud)


def test_a_stack_that_may_be_there_is_not_touched(cloud, tmp_path):
    """A throttled describe call does not show that the stack does not exist."""
    aws = tmp_path / "aws"
    real = shutil.which("aws")
    aws.write_text(
        f"""#!/bin/sh
case "$*" in
    *describe-stacks*) echo "An error occurred (Throttling) when calling the DescribeStacks operation" >&2; exit 254 ;;
esac
exec {real} "$@"
"""
    )
    aws.chmod(0o755)
    environment = cloud.environment()
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    ended = subprocess.run(command(cloud), env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert "cannot determine whether a stack" in ended.stderr
    nothing_is_left(cloud)
