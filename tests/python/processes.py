"""The processes of the tests: started on free ports, awaited with a timeout, stopped at the end."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "111122223333"
REGION = "us-east-1"
STARTS_WITHIN = 20.0
INVOKE_PATH = "/2015-03-31/functions/function/invocations"


def program(variable: str, what: str) -> Path:
    """The program that an environment variable names. A missing one is an error: no test is skipped."""
    path = Path(os.environ.get(variable, ""))
    if not path.is_file():
        raise FileNotFoundError(f"set {variable} to {what}; it is {str(path)!r}")
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what: str, look, within: float = 15.0):
    """Polls `look()` until it returns a true value, and returns that value."""
    end = time.monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"{what}: not within {within} s; last seen: {seen!r}"
        time.sleep(0.05)


def settings(access_key: str = ACCOUNT, **more: str) -> dict[str, str]:
    """An environment with credentials, a Region and, of AWS's other variables, only those in `more`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SSL_CERT_"))}
    return environment | {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }


class Running:
    """A process, its output in a file."""

    def __init__(
        self, command: list[str | Path], folder: Path, name: str, environment: dict[str, str], stdin=subprocess.DEVNULL
    ):
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                # A process group of its own, so that its children end with it.
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def started(self, look):
        """Polls `look()`, and fails with the output of the process."""

        def alive_and_seen():
            assert self.process.poll() is None, f"{self.name} ended at once:\n{self.output()}"
            return look()

        return until(f"start of {self.name}", alive_and_seen, STARTS_WITHIN)

    def listens(self, port: int) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    def stop(self):
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)


class Ec2Sim(Running):
    """The embedded EC2, and its control API."""

    def __init__(self, folder: Path, *flags: str):
        listen = [] if "--listen" in flags else ["--listen", "127.0.0.1:0"]
        command = [program("EC2_SIM_BIN", "the built ec2-sim"), *listen, *flags]
        super().__init__(command, folder, "ec2-sim", settings())
        ready = "ec2-sim listens on "
        self.url = self.started(
            lambda: next((line.split(ready)[1].strip() for line in self.output().splitlines() if ready in line), None)
        )

    def calls(self, action: str | None = None) -> list[dict]:
        """The calls so far, or those of one action."""
        calls = self.control("GET", "calls")
        return [call for call in calls if action in (None, call["action"])]

    def forget_calls(self):
        self.control("DELETE", "calls")

    def fault(self, **fault):
        self.control("POST", "faults", fault)

    def events(self) -> list[dict]:
        return self.control("GET", "events")

    def ran_before(self, days: int, count: int = 1, region: str = REGION, **options: str) -> list[str]:
        """Instances that first ran so many days ago, with these metadata options. They send no events."""
        body = {"region": region, "count": count, "firstRan": days * 86400, "options": options}
        return self.control("POST", "instances", body)["instanceIds"]

    def publish_days(self, metric: str, instances: list[str], value: float, days: int = 14):
        """Sets a metric of EC2 in CloudWatch: this value for each of the last days, in UTC, today included."""
        sums = {str(ago): value for ago in range(days)}
        self.control("POST", "metrics", {"region": REGION, "instances": instances, "metric": metric, "sums": sums})

    def control(self, method: str, what: str, body: dict | None = None):
        answer = requests.request(method, f"{self.url}/_sim/{what}", json=body, timeout=10)
        assert answer.ok, f"{method} /_sim/{what}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


class Moto(Running):
    """moto's server: an independent emulator of EC2."""

    def __init__(self, folder: Path):
        port = free_port()
        command = ["moto_server", "--host", "127.0.0.1", "--port", str(port)]
        super().__init__(command, folder, "moto", settings())
        self.url = f"http://127.0.0.1:{port}"
        self.started(lambda: self.listens(port))

    @contextlib.contextmanager
    def recorded(self):
        """A list that has the calls of services with JSON protocols, such as SQS, after the block: SERVICE.ACTION."""
        calls = []
        self.recorder("reset-recording")
        self.recorder("start-recording")
        yield calls
        self.recorder("stop-recording")
        rows = requests.get(f"{self.url}/moto-api/recorder/download-recording", timeout=10).text.splitlines()
        headers = [{name.lower(): value for name, value in json.loads(row)["headers"].items()} for row in rows]
        calls += [row["x-amz-target"] for row in headers if "x-amz-target" in row]

    def recorder(self, what: str):
        answer = requests.post(f"{self.url}/moto-api/recorder/{what}", timeout=10)
        assert answer.ok, f"{what}: {answer.status_code} {answer.text}"


class Function(Running):
    """The release build of the function under the Lambda Runtime Interface Emulator.

    The emulator breaks on a second invocation while one is under way: invoke one by one.
    """

    def __init__(self, folder: Path, ec2_url: str, port: int | None = None, **variables: str):
        emulator = folder / "aws-lambda-rie"
        shutil.copy(program("LAMBDA_EMULATOR", "the Lambda Runtime Interface Emulator"), emulator)
        emulator.chmod(0o755)
        port = port or free_port()
        command = [
            emulator,
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{free_port()}",
            program("BOOTSTRAP", "the function's bootstrap"),
        ]
        variables = {
            "AWS_ENDPOINT_URL_EC2": ec2_url,
            # ec2-sim is CloudWatch, too.
            "AWS_ENDPOINT_URL_CLOUDWATCH": ec2_url,
            # Nothing listens there: without them, the function would call SQS and EventBridge in AWS.
            "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
            "AWS_ENDPOINT_URL_EVENTBRIDGE": "http://127.0.0.1:9",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": "180",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "IMDS_POLICY_FILE": str(ROOT / "policy" / "policy.json"),
        } | variables
        super().__init__(command, folder, "function", settings(**variables))
        self.url = f"http://127.0.0.1:{port}{INVOKE_PATH}"
        self.started(lambda: self.listens(port))

    def invoke(self, payload) -> dict:
        """What the invocation returns: a result, or an object with `errorType` and `errorMessage`."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        answer = requests.post(self.url, data=body, timeout=60)
        assert answer.ok, f"{answer.status_code} {answer.text}\n{self.output()}"
        return answer.json()

    def log_lines(self) -> list[dict]:
        """The lines that the function logged, among those of the emulator."""
        lines = [line for line in self.output().splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]
