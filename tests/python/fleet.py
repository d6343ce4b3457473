"""imdsctl as a process, and the plans that it applies."""

import json
import os
import pty
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

from processes import ACCOUNT, REGION, program, settings

POLICY = {"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 2}}}
CALLER = f"arn:aws:iam::{ACCOUNT}:user/operator"
# What a terminal must not see, and what JSON, a shell or a spreadsheet could take for something else.
HOSTILE = "\x1b[31m\u202e\",\n=cmd|'/c calc'!A1 $(touch hacked) \\"
SERVICES = ("EC2", "STS", "CLOUDWATCH", "ORGANIZATIONS")
BEFORE = {"HttpTokens": "optional", "HttpPutResponseHopLimit": 3}
CHANGE = {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}


def environment(url: str, access_key: str = ACCOUNT, **more: str) -> dict[str, str]:
    """Where imdsctl finds the services that ec2-sim is. Changes are paced a hundred times as fast as by default."""
    endpoints = {f"AWS_ENDPOINT_URL_{service}": url for service in SERVICES}
    pace = {"IMDS_MODIFY_RATE": "400", "IMDS_MODIFY_BURST": "80"}
    return settings(access_key, **endpoints) | pace | more


def imdsctl(*arguments, url: str, stdin: str | None = None, **more) -> subprocess.CompletedProcess:
    """A run of imdsctl, which must end within a minute."""
    command = [program("IMDSCTL_BIN", "the built imdsctl"), *map(str, arguments)]
    keywords = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    return subprocess.run(command, env=environment(url, **more), capture_output=True, text=True, timeout=60, **keywords)


def started(*arguments, url: str, **more) -> subprocess.Popen:
    command = [program("IMDSCTL_BIN", "the built imdsctl"), *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment(url, **more), text=True, **pipes)


def on_terminal(*arguments, url: str, answer: str) -> tuple[int, str]:
    """The exit code and the output of imdsctl on a terminal where somebody types an answer."""
    ours, theirs = pty.openpty()
    command = [program("IMDSCTL_BIN", "the built imdsctl"), *map(str, arguments)]
    process = subprocess.Popen(
        command, env=environment(url, TERM="xterm"), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    seen, is_answered = b"", False
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:
            read = b""
        if not read:
            break
        seen += read
        if b"is accepted: " in seen and not is_answered:
            os.write(ours, answer.encode() + b"\n")
            is_answered = True
    os.close(ours)
    return process.wait(30), seen.decode(errors="replace")


def old(sim, count: int, **options) -> list[str]:
    """Instances that first ran long ago, with these metadata options."""
    return sim.ran_before(90, count, **{name: str(value) for name, value in options.items()})


def change(instance_id: str, **more) -> dict:
    """A change of a plan."""
    return {
        "account": ACCOUNT,
        "region": REGION,
        "instanceId": instance_id,
        "name": "web",
        "before": BEFORE,
        "change": CHANGE,
        "reasons": ["baseline requires HttpTokens=required"],
        "warnings": [],
    } | more


def write_plan(folder: Path, changes: list[dict], age: timedelta = timedelta(), **more) -> Path:
    """A plan in the form of `imdsctl plan`, with one line for each change."""
    head = {
        "version": 1,
        "createdAt": (datetime.now(timezone.utc) - age).isoformat(),
        "caller": CALLER,
        "role": None,
        "policy": POLICY,
        "complete": True,
        "errors": [],
        "counts": {"change": len(changes)},
    } | more
    lines = ",\n".join(json.dumps(change) for change in changes)
    text = json.dumps(head)[:-1] + f', "changes": [\n{lines}\n]}}'
    file = folder / "plan.json"
    file.write_text(text)
    return file


def journal_of(plan: Path) -> Path:
    return plan.with_name(plan.name + ".journal.jsonl")


def journal_lines(plan: Path, kind: str | None = None) -> list[dict]:
    """The whole lines of a journal; a last one without an end was torn."""
    lines = journal_of(plan).read_bytes().split(b"\n")[:-1]
    parsed = [json.loads(line) for line in lines]
    return [line for line in parsed if kind in (None, line["kind"])]


def outcomes(plan: Path) -> dict[str, str]:
    """The last outcome of each instance."""
    return {line["instanceId"]: line["outcome"] for line in journal_lines(plan, "outcome")}


def changed(sim) -> list[str]:
    """The instances of the calls that changed one."""
    calls = sim.calls("ModifyInstanceMetadataOptions")
    return [call["parameters"]["InstanceId"] for call in calls if call["status"] == 200]
