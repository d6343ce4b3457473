"""Audits of fleets in ec2-sim, and terminals of a known size."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import unicodedata
from collections import Counter
from pathlib import Path

from fleet import environment, imdsctl
from processes import ACCOUNT, REGION, Ec2Sim, program

ROLE = ["--role", "imds-enforcer-member"]
NO_GATE = {"baseline": {"HttpTokens": "required"}}
NO_REGION = {"AWS_REGION", "AWS_DEFAULT_REGION"}
NO_KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def add(sim: Ec2Sim, count=1, account=ACCOUNT, region=REGION, tokens="optional", **more) -> list[str]:
    """Instances that first ran 90 days ago; `more` are further fields of ec2-sim's control."""
    body = {"account": account, "region": region, "count": count, "firstRan": 90 * 86400}
    options = {"HttpTokens": tokens} | more.pop("options", {})
    return sim.control("POST", "instances", body | {"options": options} | more)["instanceIds"]


def member(number: int) -> str:
    return f"2222{number:08}"


def accounts(*ids: str) -> list[str]:
    return [part for account in ids for part in ("--account", account)]


def document(sim: Ec2Sim, *arguments, exits: int, **more) -> dict:
    """The JSON of an audit that must end with this exit code."""
    ended = imdsctl("audit", "--format", "json", *arguments, url=sim.url, **more)
    assert ended.returncode == exits, ended.stdout[-2000:] + ended.stderr
    return json.loads(ended.stdout)


def without(names: set[str], sim: Ec2Sim, *arguments, **more) -> subprocess.CompletedProcess:
    """A run of imdsctl in whose environment these variables do not exist."""
    variables = {name: value for name, value in environment(sim.url, **more).items() if name not in names}
    command = [program("IMDSCTL_BIN", "the built imdsctl"), *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run(command, env=variables, timeout=60, **pipes)


def policy(folder: Path, content: dict) -> Path:
    file = folder / "policy.json"
    file.write_text(json.dumps(content))
    return file


def decisions(audit: dict) -> Counter:
    return Counter(instance["decision"] for instance in audit["instances"])


def calls(sim: Ec2Sim) -> Counter:
    """How often each action was called."""
    return Counter(call["action"] for call in sim.calls())


class Terminal:
    """What imdsctl writes to a terminal of 24 lines."""

    def __init__(self, sim: Ec2Sim, *arguments, columns: int = 80, streams=("stdout", "stderr"), **more):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        variables = environment(sim.url, **({"TERM": "xterm-256color"} | more))
        # CI makes colors where no terminal does.
        variables = {name: value for name, value in variables.items() if name not in ("CI", "NO_COLOR") or name in more}
        command = [program("IMDSCTL_BIN", "the built imdsctl"), *map(str, arguments)]
        pipes = {name: theirs if name in streams else subprocess.DEVNULL for name in ("stdout", "stderr")}
        process = subprocess.Popen(command, env=variables, stdin=theirs, start_new_session=True, **pipes)
        os.close(theirs)
        self.bytes = b""
        while read := self.read(ours):
            self.bytes += read
        os.close(ours)
        self.code = process.wait(30)
        self.text = self.bytes.decode()

    def read(self, ours: int) -> bytes:
        try:
            return os.read(ours, 65536)
        except OSError:
            # So the terminal says that nobody else has it open.
            return b""

    def lines(self) -> list[str]:
        """What stays on the screen, without colors: a line that is cleared does not."""
        kept = [line.rpartition("\x1b[2K")[2] for line in self.text.split("\r\n")]
        return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in kept]


def columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    wide = {"W": 2, "F": 2}
    return sum(0 if unicodedata.combining(c) else wide.get(unicodedata.east_asian_width(c), 1) for c in text)


def hidden(text: str) -> set[str]:
    """The characters that a terminal obeys or does not show, other than line feeds."""
    return {hex(ord(c)) for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"}
