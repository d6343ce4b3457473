"""Measures the function beside its peers and its limits, and prints a table.

Usage: measure.py BINARIES PYTHON, where BINARIES is the folder of the release builds.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import requests
from runtime_api import ACCOUNT, REGION, Process
from tls import Tls

HERE = Path(__file__).resolve().parent
RUNS, COLD_RUNS, WARM_EVENTS, BATCH = 30, 10, 300, 1000


@dataclass
class Program:
    name: str
    command: list
    environment: dict = field(default_factory=dict)


def programs(binaries: Path, python: Path) -> dict[str, Program]:
    poll = [python, HERE / "programs" / "poll.py"]
    ours = {"IMDS_VERIFY_SECONDS": "0", "IMDS_MODIFY_RATE": "1000"}
    path = {"PYTHONPATH": str(HERE / "programs")}
    quiet = path | {"C7N_DEBUG_EVENT": "no"}
    found = [
        Program("hello", [binaries / "examples" / "hello"]),
        Program("bare", [binaries / "examples" / "bare_sdk"]),
        Program("ours", [binaries / "imds-enforcer"], ours),
        Program("boto3", [*poll, "with_boto3", "handler"], path),
        Program("c7n", [*poll, "c7n.handler", "dispatch_event"], quiet),
    ]
    return {program.name: program for program in found}


@contextmanager
def running(program: Program, endpoint: str = "", **more: str):
    with tempfile.TemporaryDirectory() as folder:
        config = (HERE / "programs" / "custodian.json").read_text()
        (Path(folder) / "config.json").write_text(config)
        environment = program.environment | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}) | more
        process = Process(program.command, environment, Path(folder))
        try:
            yield process
        finally:
            process.stop()


class Ec2:
    """ec2-sim, changes in force at once."""

    def __init__(self, binaries: Path):
        flags = ["--listen", "127.0.0.1:0", "--apply-delay", "0", "--start-delay", "0", "--state-delay", "0"]
        self.process = subprocess.Popen([binaries / "ec2-sim", *flags], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def launch(self, count: int) -> list[dict]:
        """Instances with optional tokens, and the events that they came to run."""
        authorization = f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/ec2/aws4_request, Signature=x"
        ids = []
        while len(ids) < count:
            some = min(count - len(ids), 500)
            body = {"Action": "RunInstances", "ImageId": "ami-12345678", "MinCount": some, "MaxCount": some}
            body["MetadataOptions.HttpTokens"] = "optional"
            answer = requests.post(self.url, data=body, headers={"Authorization": authorization}, timeout=60)
            ids += [part.split("<")[0] for part in answer.text.split("<instanceId>")[1:]]
        return [event(instance_id) for instance_id in ids]

    def calls(self) -> list[str]:
        return [call["action"] for call in requests.get(f"{self.url}/_sim/calls", timeout=60).json()]

    def forget(self):
        requests.delete(f"{self.url}/_sim/calls", timeout=60)


def event(instance_id: str) -> dict:
    template = json.loads((HERE.parent / "events" / "ec2-state-running.json").read_text())
    template["detail"]["instance-id"] = instance_id
    template["resources"] = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"]
    return template


def batch(events: list[dict]) -> dict:
    record = {"eventSource": "aws:sqs", "awsRegion": REGION, "attributes": {"ApproximateReceiveCount": "1"}}
    return {"Records": [record | {"messageId": str(n), "body": json.dumps(e)} for n, e in enumerate(events)]}


def init(all_programs: dict[str, Program], **more: str) -> dict[str, float]:
    """Median milliseconds from start to the first poll."""
    times = {name: [] for name in all_programs}
    for number in range(RUNS):
        for name, program in all_programs.items():
            if name in ("boto3", "c7n") and number >= COLD_RUNS:
                continue
            with running(program, **more) as process:
                times[name].append(process.until_poll() * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def cold(all_programs: dict[str, Program], ec2: Ec2, endpoint: str = "", **more: str) -> dict[str, float]:
    """Median milliseconds from start to the first event answered, one instance changed."""
    times = {name: [] for name in all_programs if name != "hello"}
    for _ in range(COLD_RUNS):
        for name in times:
            (one,) = ec2.launch(1)
            with running(all_programs[name], endpoint or ec2.url, **more) as process:
                times[name].append((process.invoke(one) - process.started) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def over_tls(all_programs: dict[str, Program], ec2: Ec2, folder: Path) -> list[tuple[str, dict, str]]:
    """The first event over TLS, with one root certificate and with those of the machine beside it."""
    tls = Tls(int(ec2.url.rsplit(":", 1)[1]), folder)
    system = Path("/etc/ssl/certs/ca-certificates.crt")
    many = folder / "many.pem"
    many.write_bytes(tls.roots.read_bytes() + (system.read_bytes() if system.exists() else b""))
    rust = {name: program for name, program in all_programs.items() if len(program.command) == 1}
    some = {"SSL_CERT_FILE": str(tls.roots)}
    all_roots = {"SSL_CERT_FILE": str(many)}
    return [
        ("start to first poll, one root, ms", init(rust, **some), ""),
        ("start to first poll, the machine's roots, ms", init(rust, **all_roots), ""),
        ("start to first answer over TLS, one root, ms", cold(rust, ec2, tls.url, **some), "≤ 1.3 × bare"),
        ("start to first answer over TLS, the machine's roots, ms", cold(rust, ec2, tls.url, **all_roots), ""),
    ]


def warm(program: Program, ec2: Ec2) -> tuple[float, float]:
    """Milliseconds of CPU an event once warm, and the peak of memory after the first."""
    events = ec2.launch(WARM_EVENTS)
    with running(program, ec2.url) as process:
        process.invoke(events[0])
        memory, before = process.peak_memory(), process.cpu()
        for one in events[1:]:
            process.invoke(one)
        return (process.cpu() - before) * 1000 / (WARM_EVENTS - 1), memory


def burst(program: Program, ec2: Ec2) -> tuple[float, float]:
    """Changes a second in a batch of state changes, and the peak of memory. Cloud Custodian takes them one by one."""
    events = ec2.launch(BATCH)
    payloads = events if program.name == "c7n" else [batch(events)]
    with running(program, ec2.url) as process:
        started = process.started + process.until_poll()
        for payload in payloads:
            ended = process.invoke(payload)
        return BATCH / (ended - started), process.peak_memory()


def calls(program: Program, ec2: Ec2) -> int:
    """Calls to EC2 for one event that changes one instance."""
    (one,) = ec2.launch(1)
    ec2.forget()
    with running(program, ec2.url) as process:
        process.invoke(one)
    return len(ec2.calls())


def zipped(binary: Path) -> float:
    """MB of the package."""
    package = BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(binary, "bootstrap")
    return len(package.getvalue()) / 1e6


def table(rows: list[tuple[str, dict[str, float], str]]) -> str:
    names = ["ours", "hello", "bare", "boto3", "c7n"]
    lines = [f"| figure | {' | '.join(names)} | to reach |", "| --- " * (len(names) + 2) + "|"]
    for figure, values, goal in rows:
        cells = [f"{values[name]:.3g}" if name in values else "" for name in names]
        lines.append(f"| {figure} | {' | '.join(cells)} | {goal} |")
    return "\n".join(lines)


def main(binaries: Path, python: Path, folder: Path) -> None:
    every = programs(binaries, python)
    ec2 = Ec2(binaries)
    try:
        working = {name: program for name, program in every.items() if name != "hello"}
        warmed = {name: warm(program, ec2) for name, program in working.items()}
        bursts = {name: burst(program, ec2) for name, program in working.items()}
        rows = [
            ("start to first poll, ms", init(every), "≤ 2 × hello"),
            ("start to first answer, ms", cold(every, ec2), "≤ 1.3 × bare, 50 × faster than c7n"),
            *over_tls(every, ec2, folder),
            ("CPU of a warm event, ms", {n: cpu for n, (cpu, _) in warmed.items()}, "≤ bare + 1"),
            ("changes a second, batch of 1,000", {n: rate for n, (rate, _) in bursts.items()}, "≥ 0.8 × bare"),
            ("peak memory, one event, MB", {n: memory for n, (_, memory) in warmed.items()}, "≤ 12"),
            ("peak memory, 1,000 events, MB", {n: memory for n, (_, memory) in bursts.items()}, "≤ 30"),
            ("calls for one event", {n: calls(p, ec2) for n, p in working.items()}, "3: see, change, verify"),
            ("zipped, MB", {n: zipped(p.command[0]) for n, p in every.items() if len(p.command) == 1}, "≤ 3"),
        ]
    finally:
        ec2.process.kill()
    print(table(rows))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1]), Path(sys.argv[2]), Path(temporary))
