"""Compares the function with other programs, and prints a table.

Usage: measure.py BINARIES PYTHON, where BINARIES is the folder of the release builds.
"""

import shutil
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import certifi
from runtime_api import OURS, Process
from simulator import Ec2, batch
from tls import Tls

HERE = Path(__file__).resolve().parent
INIT_RUNS, COLD_RUNS, SLOW_RUNS, WARM_RUNS, WARM_EVENTS, BATCH_RUNS, BATCH = 60, 40, 30, 5, 300, 7, 1000


@dataclass
class Program:
    name: str
    command: list
    environment: dict = field(default_factory=dict)

    @property
    def is_slow(self) -> bool:
        """Whether it is a Python program: its times are so long that few runs are enough."""
        return len(self.command) > 1


def copied(binary: Path, folder: Path) -> Path:
    """A copy of a program. What a linker has just written is in the page cache in small pieces, and starts later."""
    return Path(shutil.copy(binary, folder))


def programs(binaries: Path, python: Path, folder: Path) -> dict[str, Program]:
    poll = [python, HERE / "programs" / "poll.py"]
    path = {"PYTHONPATH": str(HERE / "programs")}
    quiet = path | {"C7N_DEBUG_EVENT": "no"}
    found = [
        Program("hello", [copied(binaries / "examples" / "hello", folder)]),
        Program("bare", [copied(binaries / "examples" / "bare_sdk", folder)]),
        Program("ours", [copied(binaries / "imds-enforcer", folder)], OURS),
        Program("boto3", [*poll, "with_boto3", "handler"], path),
        Program("c7n", [*poll, "c7n.handler", "dispatch_event"], quiet),
    ]
    return {program.name: program for program in found}


@contextmanager
def running(program: Program, endpoint: str = "", more: dict[str, str] | None = None):
    with tempfile.TemporaryDirectory() as folder:
        config = (HERE / "programs" / "custodian.json").read_text()
        (Path(folder) / "config.json").write_text(config)
        environment = program.environment | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}) | (more or {})
        process = Process(program.command, environment, Path(folder))
        try:
            yield process
        finally:
            process.stop()


def medians(
    some: dict[str, Program], runs: int, measure: Callable[[Program], float], slow: int = SLOW_RUNS
) -> dict[str, float]:
    """The median of `runs` measurements. The programs run in turn, and the first one changes each round, so that other
    load on the machine affects all of them."""
    values = {name: [] for name in some}
    for number in range(runs):
        turns = [program for program in some.values() if not program.is_slow or number < slow]
        for place in range(len(turns)):
            program = turns[(number + place) % len(turns)]
            values[program.name].append(measure(program))
    return {name: statistics.median(each) for name, each in values.items()}


def init(some: dict[str, Program], more: dict[str, str] | None = None) -> dict[str, float]:
    """Milliseconds from start to the first poll."""

    def once(program: Program) -> float:
        with running(program, more=more) as process:
            return process.until_poll() * 1000

    return medians(some, INIT_RUNS, once)


def cold(
    some: dict[str, Program], ec2: Ec2, endpoint: str = "", more: dict[str, str] | None = None
) -> dict[str, float]:
    """Milliseconds from start to the first event answered, one instance changed."""

    def once(program: Program) -> float:
        (one,) = ec2.launch(1)
        with running(program, endpoint or ec2.url, more) as process:
            return (process.invoke(one) - process.started) * 1000

    return medians({name: program for name, program in some.items() if name != "hello"}, COLD_RUNS, once)


def roots(every: dict[str, Program], ec2: Ec2, folder: Path) -> list[tuple[str, dict, str]]:
    """The cost of root certificates and TLS: one certificate, Mozilla's, and a folder without its bundle."""
    tls = Tls(int(ec2.url.rsplit(":", 1)[1]), folder)
    many = folder / "many.pem"
    many.write_bytes(tls.roots.read_bytes() + Path(certifi.where()).read_bytes())
    rust = {name: program for name, program in every.items() if not program.is_slow}
    with_one, with_many = {"SSL_CERT_FILE": str(tls.roots)}, {"SSL_CERT_FILE": str(many)}
    with_folder = {"SSL_CERT_DIR": "/etc/ssl/certs"}
    return [
        ("start to first poll, one root certificate, ms", init(rust, with_one), ""),
        ("start to first poll, root certificates from a folder alone, ms", init(rust, with_folder), ""),
        ("start to first answer over TLS, ms", cold(rust, ec2, tls.url, with_many), "≤ 1.15 × bare"),
        ("start to first answer over TLS, one root certificate, ms", cold(rust, ec2, tls.url, with_one), ""),
    ]


def warm(some: dict[str, Program], ec2: Ec2) -> dict[str, float]:
    """Milliseconds of CPU per warm event."""

    def once(program: Program) -> float:
        events = ec2.launch(WARM_EVENTS)
        with running(program, ec2.url) as process:
            process.invoke(events[0])
            before = process.cpu()
            for one in events[1:]:
                process.invoke(one)
            return (process.cpu() - before) * 1000 / (WARM_EVENTS - 1)

    return medians(some, WARM_RUNS, once, slow=3)


def burst(some: dict[str, Program], ec2: Ec2) -> tuple[dict[str, float], dict[str, float]]:
    """Changes per second in a batch of state changes, and the peak memory in MB. c7n handles them one by one."""
    memory = {}

    def once(program: Program) -> float:
        events = ec2.launch(BATCH)
        payloads = events if program.name == "c7n" else [batch(events)]
        with running(program, ec2.url) as process:
            started = process.started + process.until_poll()
            for payload in payloads:
                ended = process.invoke(payload)
            memory[program.name] = max(memory.get(program.name, 0), process.peak_memory())
            return BATCH / (ended - started)

    return medians(some, BATCH_RUNS, once, slow=3), memory


def one_event(program: Program, ec2: Ec2) -> tuple[float, float]:
    """The peak memory in MB, and the calls to EC2, for one event that changes one instance."""
    (one,) = ec2.launch(1)
    ec2.forget()
    with running(program, ec2.url) as process:
        process.invoke(one)
        return process.peak_memory(), len(ec2.calls())


def zipped(binary: Path) -> float:
    """MB of the package."""
    package = BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(binary, "bootstrap")
    return len(package.getvalue()) / 1e6


def rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(rows: list[tuple[str, dict[str, float], str]]) -> str:
    names = ["ours", "hello", "bare", "boto3", "c7n"]
    lines = [f"| figure | {' | '.join(names)} | target |", "| --- " * (len(names) + 2) + "|"]
    for figure, values, goal in rows:
        cells = [rounded(values[name]) if name in values else "" for name in names]
        lines.append(f"| {figure} | {' | '.join(cells)} | {goal} |")
    return "\n".join(lines)


def main(binaries: Path, python: Path, folder: Path) -> None:
    every = programs(binaries, python, folder)
    working = {name: program for name, program in every.items() if name != "hello"}
    with Ec2(binaries) as ec2:
        first = {name: one_event(program, ec2) for name, program in every.items()}
        changes, memory = burst(working, ec2)
        rows = [
            ("start to first poll, ms", init(every), "≤ 1.4 × hello"),
            ("start to first answer, ms", cold(every, ec2), "≤ 1.3 × bare, 50 × faster than c7n"),
            *roots(every, ec2, folder),
            ("CPU of a warm event, ms", warm(working, ec2), "≤ bare + 1"),
            ("changes per second, batch of 1,000", changes, "≥ 0.8 × bare"),
            ("peak memory, one event, MB", {name: peak for name, (peak, _) in first.items()}, "≤ 12"),
            ("peak memory, 1,000 events, MB", memory, "≤ 30"),
            ("calls for one event", {name: first[name][1] for name in working}, "3: describe, change, verify"),
            ("zipped, MB", {n: zipped(p.command[0]) for n, p in every.items() if not p.is_slow}, "≤ 3.8"),
        ]
    print(table(rows))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).absolute(), Path(temporary))
