"""Measures `imdsctl audit`: of an organization, and of one account side by side with Cloud Custodian's `run --dryrun`.

Usage: audit.py BINARIES CUSTODIAN [RUNS], where BINARIES is the folder with imdsctl and ec2-sim, CUSTODIAN the
executable, and RUNS the number of runs of each, 3 by default. Prints a table of medians. Fails if a figure is out of
its bound.

Both read the same instances from ec2-sim and name the same ones. The audit also asks CloudWatch for the use of IMDSv1,
and EC2 for what the instances came from; Cloud Custodian does not.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runtime_api import ACCOUNT
from simulator import Ec2

ACCOUNTS, REGIONS, PER_REGION = 100, ("us-east-1", "eu-west-1"), 250
# Of one account, in a Region of its own.
ALONE, INSTANCES = "us-west-2", 5000
SECONDS, MEGABYTES, FASTER = 30, 250, 10
POLICY = {
    "policies": [
        {
            "name": "imdsv1",
            "resource": "aws.ec2",
            "filters": [{"type": "value", "key": "MetadataOptions.HttpTokens", "value": "optional"}],
        }
    ]
}


def control(ec2: Ec2, what: str, body: dict) -> None:
    ec2.http.post(f"{ec2.url}/_sim/{what}", json=body, timeout=120).raise_for_status()


def launch(ec2: Ec2, account: str, region: str, count: int) -> None:
    """Half of them accept IMDSv1. All first ran 90 days ago."""
    for tokens in ("optional", "required"):
        body = {"account": account, "region": region, "count": count // 2, "firstRan": 90 * 86400}
        tags = {"Name": f"web-{tokens}", "Team": "payments", "aws:autoscaling:groupName": f"web-{account}"}
        control(ec2, "instances", body | {"options": {"HttpTokens": tokens}, "tags": tags})


def organization(ec2: Ec2) -> None:
    accounts = [ACCOUNT] + [str(200_000_000_000 + number) for number in range(1, ACCOUNTS)]
    control(
        ec2, "organization", {"managementAccount": ACCOUNT, "root": {"accounts": [{"id": one} for one in accounts]}}
    )
    for account in accounts:
        for region in REGIONS:
            launch(ec2, account, region, PER_REGION)


def run(command: list, environment: dict[str, str], expected: int) -> dict[str, float]:
    """Seconds, CPU seconds and MB of a process that exits with the code `expected`."""
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        peak, ended = 0.0, 0
        while not ended:
            # What the kernel reports at the end would include the memory of this process, before the start.
            peak = max(peak, peak_memory(process.pid))
            time.sleep(0.005)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        took = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != expected:
            errors.seek(0)
            raise RuntimeError(f"{command[0]} exited with {process.returncode}: {errors.read().decode()}")
    return {"time, s": took, "CPU, s": usage.ru_utime + usage.ru_stime, "peak memory, MB": peak}


def peak_memory(pid: int) -> float:
    """The peak resident memory of a process so far, in MB; 0 if it has ended."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def audit(binaries: Path, environment: dict[str, str], folder: Path, scope: list[str], accepting: int) -> dict:
    """An audit that finds as many instances that accept IMDSv1."""
    output = folder / "audit.json"
    command = [binaries / "imdsctl", "audit", "--format", "json", "--output", output, *scope]
    found = run(command, environment, 1)
    decisions = [row["decision"] for row in json.loads(output.read_text())["instances"]]
    if (decisions.count("in-use"), len(decisions)) != (accepting, 2 * accepting):
        raise RuntimeError(f"{len(decisions)} instances, {decisions.count('in-use')} of them in use")
    return found


def custodian(executable: Path, environment: dict[str, str], folder: Path) -> dict:
    """A dry run that finds the same instances."""
    policy = folder / "policy.json"
    policy.write_text(json.dumps(POLICY))
    options = ["--dryrun", "--region", ALONE, "--output-dir", folder / "custodian", "--cache-period", "0"]
    found = run([executable, "run", *options, policy], environment, 0)
    rows = json.loads((folder / "custodian" / "imdsv1" / "resources.json").read_text())
    if len(rows) != INSTANCES // 2:
        raise RuntimeError(f"Cloud Custodian found {len(rows)} instances")
    return found


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {figure: statistics.median(one[figure] for one in runs) for figure in runs[0]}


def main(binaries: Path, executable: Path, runs: int) -> int:
    with Ec2(binaries) as ec2, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        organization(ec2)
        launch(ec2, ACCOUNT, ALONE, INSTANCES)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {"AWS_ENDPOINT_URL": ec2.url, "AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "x"}
        environment |= {"AWS_DEFAULT_REGION": ALONE, "AWS_REGION": ALONE, "HOME": temporary}
        everything = ["--organization", "--role", "member"]
        everything += [flag for region in REGIONS for flag in ("--region", region)]
        total = ACCOUNTS * len(REGIONS) * PER_REGION
        found = {f"audit of {total:,} instances, {ACCOUNTS} accounts x {len(REGIONS)} Regions": []}
        (whole,) = found
        one, peer = f"audit of {INSTANCES:,} instances, one account", f"Cloud Custodian, the same {INSTANCES:,}"
        found |= {one: [], peer: []}
        for _ in range(runs):
            found[whole].append(audit(binaries, environment, folder, everything, total // 2))
            found[one].append(audit(binaries, environment, folder, ["--region", ALONE], INSTANCES // 2))
            found[peer].append(custodian(executable, environment, folder))
    table = {name: medians(all_of_it) for name, all_of_it in found.items()}
    figures = list(table[whole])
    print(f"| | {' | '.join(figures)} |\n{'| --- ' * (len(figures) + 1)}|")
    for name, values in table.items():
        print(f"| {name} | {' | '.join(f'{values[figure]:.3g}' for figure in figures)} |")
    faster = table[peer]["time, s"] / table[one]["time, s"]
    print(f"{faster:.1f} times as fast as Cloud Custodian (bound {FASTER})")
    checks = {
        f"the audit took more than {SECONDS} s": table[whole]["time, s"] > SECONDS,
        f"the audit took more than {MEGABYTES} MB": table[whole]["peak memory, MB"] > MEGABYTES,
        f"the audit is not {FASTER} times as fast as Cloud Custodian": faster < FASTER,
    }
    errors = [error for error, is_so in checks.items() if is_so]
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    some = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).absolute(), some))
