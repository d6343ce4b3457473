"""The archive of a release, deployed without Rust and without SAM: by the commands of docs/release.md."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cloud import BUILT, Cloud, Stack
from documents import commands
from ec2_words import launch
from processes import ROOT

BUCKET = "releases-of-the-test"


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    """The folder that a user has after unzipping."""
    folder = tmp_path_factory.mktemp("release")
    command = [sys.executable, ROOT / "release" / "package.py", BUILT / "Enforcer" / "bootstrap", "x86_64", folder]
    made = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout.strip()
    with zipfile.ZipFile(made) as archive:
        archive.extractall(folder)
    return folder / Path(made).stem


def deploy(cloud: Cloud, release: Path) -> Stack:
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    (text,) = commands("docs/release.md", "Deploy with the AWS CLI")
    # The emulators' addresses, and the mode that changes something.
    parameters = f"Mode=enforce Ec2EndpointUrl={cloud.sim.url}"
    text = text.replace("BUCKET", BUCKET).replace("Mode=dry-run", parameters)
    ended = cloud.run("bash", "-c", f"set -euo pipefail\ncd {release}\n{text}")
    logged = cloud.ministack.output()[-4000:]
    assert ended.returncode == 0, f"{text}\n{ended.stdout}{ended.stderr}\nministack: {logged}"
    return Stack(cloud, "imds-enforcer")


def test_a_launch_is_enforced_by_the_function_of_the_archive(cloud, release):
    stack = deploy(cloud, release)
    ids = launch(stack.ec2, 2, options={"HttpTokens": "optional"})
    stack.wait_until_enforced(*ids)
    stack.settle()
    functions = stack.client("lambda").list_functions()["Functions"]
    assert len(functions) == 2
    assert {function["CodeSize"] for function in functions} == {(release / "function-x86_64.zip").stat().st_size}
