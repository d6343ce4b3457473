"""Commands with the AWS CLI: what they are called with, and whether the AWS CLI accepts it. Nothing reaches AWS."""

import contextlib
import io
import os
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from awscli.clidriver import create_clidriver
from processes import settings

# Prints what the real programs would print, and records the arguments as they arrive.
RECORD = """#!/bin/sh
{ printf '%s' "${0##*/}"; for argument in "$@"; do printf '\\037%s' "$argument"; done; printf '\\036'; } >> "$CALLS"
echo answer-7
"""


def recorded(commands: list[str], folder: Path, writes: Iterable[str] = (), **programs: str) -> list[list[str]]:
    """Runs commands in one shell, with these programs, and returns what they were called with.

    They write only the files `writes`.
    """
    (folder / "bin").mkdir()
    for name, script in programs.items():
        program = folder / "bin" / name
        program.write_text(script)
        program.chmod(0o755)
    calls = folder / "calls"
    calls.touch()
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = settings() | {"PATH": path, "CALLS": str(calls), "cluster": "prod"}
    ended = subprocess.run(
        ["sh", "-ec", "\n".join(commands)], env=environment, cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, ""), commands
    assert {path.name for path in folder.iterdir()} == {"bin", "calls", *writes}, "what the commands wrote"
    return [call.split("\037") for call in calls.read_text().split("\036")[:-1]]


@cache
def aws_cli():
    return create_clidriver()


def check(arguments: list[str]):
    """Has the AWS CLI check the arguments. It does so before it connects, and nothing listens where it connects to."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        aws_cli().main([*arguments, "--endpoint-url", "http://127.0.0.1:9"])
    assert "Could not connect to the endpoint URL" in err.getvalue(), f"{arguments}: {err.getvalue()}"
