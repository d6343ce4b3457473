"""What the tests share: the processes, and EC2 clients that talk to them."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from processes import ACCOUNT, REGION, Ec2Sim, Function, Moto, settings

# One session for all clients, since EC2's model takes a while to read.
SESSION = boto3.Session()


def ec2_client(url: str, account: str = ACCOUNT, region: str = REGION, **config):
    """A boto3 client without retries, so that a test sees each answer of EC2."""
    config = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 15} | config
    return SESSION.client(
        "ec2",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="secret",
        config=Config(**config),
    )


class AwsCli:
    """The AWS CLI, talking to one endpoint."""

    def __init__(self, url: str):
        self.environment = settings(AWS_ENDPOINT_URL_EC2=url, AWS_MAX_ATTEMPTS="1", AWS_PAGER="")

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        command = ["aws", "--output", "json", "ec2", *arguments]
        return subprocess.run(
            command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

    def __call__(self, *arguments: str) -> dict:
        """The answer of a command that must succeed."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, f"aws ec2 {' '.join(arguments)}: {ended.stderr}"
        return json.loads(ended.stdout) if ended.stdout.strip() else {}

    def refused(self, *arguments: str) -> str:
        """The error code of a command that EC2 must refuse."""
        ended = self.run(*arguments)
        assert ended.returncode != 0, f"aws ec2 {' '.join(arguments)} succeeded: {ended.stdout}"
        assert "An error occurred (" in ended.stderr, f"aws ec2 {' '.join(arguments)}: {ended.stderr}"
        return ended.stderr.split("An error occurred (")[1].split(")")[0]


@contextmanager
def starting(root: Path):
    """A function that starts processes in folders below `root`; they are stopped at the end."""
    with ExitStack() as stack:

        def start(kind, *arguments, **keywords):
            folder = root / f"{kind.__name__.lower()}-{len(list(root.iterdir()))}"
            folder.mkdir()
            process = kind(folder, *arguments, **keywords)
            # pytest shows it where the test fails.
            stack.callback(lambda: print(f"--- {process.name} printed:\n{process.output()}"))
            stack.callback(process.stop)
            return process

        yield start


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as start:
        yield start


@pytest.fixture
def sim(start) -> Ec2Sim:
    """An EC2 with delays that are short, but long enough to be observed."""
    return start(Ec2Sim, "--apply-delay", "300", "--start-delay", "50", "--state-delay", "50")


@pytest.fixture
def ec2(sim):
    return ec2_client(sim.url)


@pytest.fixture
def aws(sim) -> AwsCli:
    return AwsCli(sim.url)


@pytest.fixture
def function(start, sim) -> Function:
    return start(Function, sim.url)


@pytest.fixture(scope="session")
def moto(tmp_path_factory) -> Iterator[Moto]:
    """One for all tests: it takes seconds to start."""
    with starting(tmp_path_factory.mktemp("moto")) as start:
        yield start(Moto)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """The metrics of a function after instances of every outcome."""
    import written

    with starting(tmp_path_factory.mktemp("written")) as start:
        yield written.of_every_outcome(start)
