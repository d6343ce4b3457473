"""imdsctl audit and plan of an organization with 50,000 instances."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from audits import NO_GATE, ROLE, member, policy
from fleet import environment
from processes import ACCOUNT, Ec2Sim, program

ACCOUNTS = [member(number) for number in range(100)]
REGIONS = ["us-east-1", "eu-west-1"]
EACH = 250
PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
ID = re.compile("i-[0-9a-f]{17}")
# Megabytes.
MOST_MEMORY = 250


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    sim = Ec2Sim(tmp_path_factory.mktemp("large"))
    shared = {"count": EACH, "firstRan": 90 * 86400, "options": {"HttpTokens": "optional"}}
    tags = {"Name": "web", "Team": "payments", "aws:autoscaling:groupName": "web"}
    launches = [
        shared | {"account": account, "region": region, "tags": tags} for account in ACCOUNTS for region in REGIONS
    ]
    sim.control("POST", "instances", launches)
    root = {"accounts": [{"id": account} for account in [ACCOUNT, *ACCOUNTS]]}
    sim.control("POST", "organization", {"managementAccount": ACCOUNT, "root": root})
    yield sim
    sim.stop()


def run(sim, *arguments) -> tuple[int, float]:
    """The exit code, and the most memory that the process had, in megabytes."""
    command = [program("IMDSCTL_BIN", "the built imdsctl"), *map(str, arguments)]
    process = subprocess.Popen(command, env=environment(sim.url), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    memory = 0.0
    while process.poll() is None:
        # The rusage of a child would count the memory of pytest, from before the program was executed.
        found = PEAK.search(Path(f"/proc/{process.pid}/status").read_text())
        memory = max(memory, int(found[1]) / 1024) if found else memory
        time.sleep(0.02)
    print(f"{arguments[0]}: {memory:.0f} MB")
    return process.returncode, memory


def test_an_audit_and_a_plan_of_50_000_instances_fit_in_memory(sim, tmp_path):
    scope = ["--organization", *ROLE, *(part for region in REGIONS for part in ("--region", region))]
    scope += ["--policy", policy(tmp_path, NO_GATE)]
    html = tmp_path / "audit.html"
    code, memory = run(sim, "audit", *scope, "--usage-days", "0", "--format", "html", "--output", html)
    assert code == 1 and 10 < memory < MOST_MEMORY and len(set(ID.findall(html.read_text()))) == 50_000

    plan = tmp_path / "plan.json"
    code, memory = run(sim, "plan", *scope, "--output", plan)
    changes = json.loads(plan.read_text())["changes"]
    assert code == 1 and len(changes) == 50_000 and 10 < memory < MOST_MEMORY
    assert changes == sorted(changes, key=lambda row: (row["account"], row["region"], row["instanceId"]))
    assert len({call["account"] for call in sim.calls("AssumeRole")}) == 1
