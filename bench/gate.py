"""Compares a sweep of instances that the usage gate holds back with one of as many instances that are compliant.

Usage: gate.py FUNCTION BINARIES [SWEEPS], where FUNCTION is its executable, BINARIES the folder with ec2-sim, and
SWEEPS the number of sweeps of each kind, 9 by default. Prints a table of medians. Fails if the calls to CloudWatch, the
time, the CPU or the memory is out of bounds. The bound of the time is looser than the target, as the time depends on
the machine's load.

CloudWatch's own answers are the times from the last byte of a request to the last byte of its response, at a proxy
before ec2-sim. Where calls overlap, the time counts once. The function works on other pages in this time, so that only
the CPU tells how much work it has.
"""

import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from runtime_api import ACCOUNT, OURS, REGION, Process, Server
from simulator import Ec2

INSTANCES = 5000
POLICY = {"baseline": {"HttpTokens": "required"}, "usageGate": {}}
SWEEP = Path(__file__).resolve().parent.parent / "events" / "imds-enforcer-sweep.json"
# Calls to CloudWatch: 500 instances each, and their pages.
CALLS = 10
TIME_TARGET, TIME_BOUND, CPU_BOUND, MEMORY_BOUND = 1.05, 2, 2, 40


class Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        started = time.perf_counter()
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        server = http.client.HTTPConnection(self.server.behind, timeout=60)
        server.request("POST", self.path, body, headers)
        answer = server.getresponse()
        content = answer.read()
        server.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.times.append((started, time.perf_counter()))

    def log_message(self, *_):
        pass


class CloudWatch:
    """A proxy before ec2-sim that takes the time of each call."""

    def __init__(self, url: str):
        self.server = Server(("127.0.0.1", 0), Forward)
        self.server.behind, self.server.times = urlsplit(url).netloc, []
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def own_answers(self) -> float:
        """Seconds in which at least one call was being answered."""
        total, end = 0.0, 0.0
        for started, ended in sorted(self.server.times):
            total += max(0.0, ended - max(started, end))
            end = max(end, ended)
        return total


def fleet(ec2: Ec2, region: str, tokens: str) -> bytes:
    """Adds instances that first ran 90 days ago and have calls. Returns the event of a sweep of their Region."""
    body = {"region": region, "count": INSTANCES, "firstRan": 90 * 86400, "options": {"HttpTokens": tokens}}
    ids = control(ec2, "instances", body)["instanceIds"]
    sums = {str(ago): 1 for ago in range(15)}
    control(ec2, "metrics", {"region": region, "instances": ids, "metric": "MetadataNoToken", "sums": sums})
    return json.dumps(json.loads(SWEEP.read_text()) | {"account": ACCOUNT, "region": region}).encode()


def control(ec2: Ec2, what: str, body: dict) -> dict:
    answer = ec2.http.post(f"{ec2.url}/_sim/{what}", json=body, timeout=120)
    answer.raise_for_status()
    return answer.json() if answer.content else {}


def sweep(function: Path, ec2: Ec2, event: bytes, expected: str) -> dict[str, float]:
    """One sweep in a new process: milliseconds, those of CloudWatch's own answers, MB, and CloudWatch's calls."""
    cloudwatch = CloudWatch(ec2.url)
    variables = {"AWS_ENDPOINT_URL": ec2.url, "AWS_ENDPOINT_URL_CLOUDWATCH": cloudwatch.url}
    with tempfile.TemporaryDirectory() as folder:
        process = Process([function], OURS | variables | {"IMDS_POLICY": json.dumps(POLICY)}, Path(folder))
        try:
            process.until_poll()
            before, started = process.cpu(), time.perf_counter()
            took = process.invoke(event) - started
            counts = json.loads(process.logged().splitlines()[-1])["counts"]
            if counts != {expected: INSTANCES}:
                raise RuntimeError(f"{INSTANCES} instances are not {expected}: {counts}")
            own = cloudwatch.own_answers()
            return {
                "time, ms": took * 1000,
                "of which CloudWatch's own answers, ms": own * 1000,
                "time beyond them, ms": (took - own) * 1000,
                "CPU, ms": (process.cpu() - before) * 1000,
                "peak memory, MB": process.peak_memory(),
                "calls to CloudWatch": len(cloudwatch.server.times),
            }
        finally:
            process.stop()
            cloudwatch.server.shutdown()
            cloudwatch.server.server_close()


def main(function: Path, binaries: Path, sweeps: int) -> int:
    with Ec2(binaries) as ec2:
        held, compliant = fleet(ec2, REGION, "optional"), fleet(ec2, "eu-west-1", "required")
        found = {"held back": [], "compliant": []}
        for number in range(sweeps):
            turns = [("held back", held, "in-use"), ("compliant", compliant, "compliant")]
            for name, event, expected in turns if number % 2 else reversed(turns):
                found[name].append(sweep(function, ec2, event, expected))
    medians = {
        name: {key: statistics.median(one[key] for one in all_of_it) for key in all_of_it[0]}
        for name, all_of_it in found.items()
    }
    print("| figure | held back | compliant |\n| --- | --- | --- |")
    for key, value in medians["held back"].items():
        print(f"| {key} | {value:,.1f} | {medians['compliant'][key]:,.1f} |")
    beyond, cpu = (medians["held back"][key] / medians["compliant"][key] for key in ("time beyond them, ms", "CPU, ms"))
    memory = medians["held back"]["peak memory, MB"] - medians["compliant"]["peak memory, MB"]
    calls = {one["calls to CloudWatch"] for one in found["held back"]}
    print(f"time: {beyond:.2f} times that of the compliant ones (target {TIME_TARGET}); memory: {memory:+.1f} MB")
    errors = []
    if calls != {CALLS}:
        errors.append(f"{calls} calls to CloudWatch, expected {CALLS}")
    if beyond > TIME_BOUND:
        errors.append(f"{beyond:.2f} times the time, the bound is {TIME_BOUND}")
    if cpu > CPU_BOUND:
        errors.append(f"{cpu:.2f} times the CPU, the bound is {CPU_BOUND}")
    if memory > MEMORY_BOUND:
        errors.append(f"{memory:.1f} MB more, the bound is {MEMORY_BOUND}")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    some = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), some))
