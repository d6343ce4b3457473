"""imdsctl defaults set on a terminal: the question, and what the answers do."""

import os
import pty
import subprocess

import pytest
from conftest import ec2_client
from processes import REGION, program, settings


def answered(sim, answer: str) -> tuple[int, str]:
    """Runs imdsctl on a terminal, types the answer to its question, and returns the exit code and what it printed."""
    imdsctl = program("IMDSCTL_BIN", "the built imdsctl")
    command = [imdsctl, "defaults", "set", "--http-tokens", "required", "--region", REGION]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, env=settings(AWS_ENDPOINT_URL=sim.url), stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    printed = ""
    try:
        while 'Only "yes" is accepted: ' not in printed:
            printed += os.read(ours, 4096).decode()
        os.write(ours, f"{answer}\n".encode())
        while True:
            try:
                printed += os.read(ours, 4096).decode()
            except OSError:  # Linux reports the end of a terminal so.
                break
        return process.wait(30), printed
    finally:
        process.kill()
        os.close(ours)


@pytest.mark.parametrize("answer", ["", "y", "no", "YES", " yes", "yes please"])
def test_another_answer_than_yes_sets_nothing(sim, answer):
    code, printed = answered(sim, answer)
    assert (code, "nothing was set" in printed) == (1, True), printed
    assert sim.calls("ModifyInstanceMetadataDefaults") == []


def test_yes_sets_what_was_shown(sim):
    code, printed = answered(sim, "yes")
    assert code == 0, printed
    assert f"{REGION}: HttpTokens: no-preference -> required" in printed
    assert "Set the defaults of 1 account and Region?" in printed
    assert "1 account and Region set and read back" in printed
    level = ec2_client(sim.url).get_instance_metadata_defaults()["AccountLevel"]
    assert level["HttpTokens"] == "required"
