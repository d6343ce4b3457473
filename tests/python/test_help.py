"""imdsctl --help and completions: what people see first."""

import os
import re
import subprocess

import pytest
from audits import NO_GATE, Terminal, add, columns, policy
from fleet import environment
from processes import ACCOUNT, Ec2Sim, program, settings

COMMANDS = [
    [],
    ["audit"],
    ["plan"],
    ["apply"],
    ["restore"],
    ["explain"],
    ["policy"],
    ["policy", "check"],
    ["policy", "schema"],
    ["demo"],
    ["completions"],
]
SHELLS = ["bash", "zsh", "fish", "elvish", "powershell"]


def run(*arguments: str, **more) -> subprocess.CompletedProcess:
    command = [program("IMDSCTL_BIN", "the built imdsctl"), *arguments]
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run(command, env=settings(**more), timeout=30, **pipes)


def shown(*command: str) -> str:
    ended = run(*command, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_80_columns_and_tells_the_exit_codes(command):
    text = shown(*command)
    assert [line for line in text.splitlines() if columns(line) > 80] == []
    first = text.partition("\n\n")[0].replace("\n", " ")
    assert 25 < len(first) < 160 and first[0].isupper() and "imdsctl" not in first.split()[:1], first
    codes = " ".join(text.partition("Exit codes:")[2].partition("Usage:")[0].split())
    assert re.match(r"0 .*\b2\b.*errors?\.$", codes), f"{codes!r}"
    short = run(*command, "-h")
    assert short.returncode == 0 and [line for line in short.stdout.splitlines() if columns(line) > 80] == []


def test_policy_check_tells_how_to_find_what_ends_soon():
    text = shown("policy", "check")
    assert "\n    imdsctl policy check --expiring 14 policy.json\n" in text, text
    assert "      --expiring <DAYS>\n" in text and "daysLeft" in text, text


def test_every_command_is_in_the_list():
    listed = re.findall(r"^  ([a-z]+) ", shown().partition("Commands:")[2].partition("Options:")[0], re.MULTILINE)
    assert {*listed} - {"help"} >= {command[0] for command in COMMANDS if command}


@pytest.mark.parametrize("command", ["audit", "plan"])
def test_the_flags_of_scope_are_together_and_the_others_are_not_among_them(command):
    scope = shown(command).partition("\nScope:\n")[2]
    flags = re.findall(r"^      (--[a-z-]+)", scope, re.MULTILINE)
    expected = ["--region", "--all-regions", "--account", "--ou", "--organization", "--exclude-account", "--role"]
    assert flags == expected


def examples(command: str) -> list[str]:
    """The commands that a help shows, indented by four spaces."""
    text = shown(command).replace("\\\n", " ")
    return re.findall(r"^    (imdsctl .*)$", text, re.MULTILINE)


def test_the_examples_of_audit_and_plan_can_be_run(start, tmp_path):
    sim = start(Ec2Sim)
    add(sim, 2)
    root = {"accounts": [{"id": ACCOUNT}, {"id": "444455556666"}]}
    sim.control("POST", "organization", {"managementAccount": ACCOUNT, "root": root})
    policy(tmp_path, NO_GATE)
    folder = program("IMDSCTL_BIN", "the built imdsctl").parent
    variables = environment(sim.url, PATH=f"{folder}:{os.environ['PATH']}")
    lines = examples("audit") + examples("plan")
    assert len(lines) == 4, lines
    for line in lines:
        text = line.replace("imdsctl apply", "imdsctl apply --yes")
        ended = subprocess.run(
            ["bash", "-c", text], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode in (0, 1), f"{line}: {ended.stdout}{ended.stderr}"
    assert (tmp_path / "r.html").is_file() and (tmp_path / "plan.json").is_file()


def test_an_error_in_the_flags_says_how_to_get_help():
    for arguments in (["audit", "--regions"], ["plan"], ["completions", "tcsh"], ["nothing"]):
        ended = run(*arguments)
        assert (ended.returncode, ended.stdout) == (2, ""), arguments
        assert "For more information, try '--help'." in ended.stderr, arguments


def test_help_has_no_colors_in_a_pipe_and_some_on_a_terminal(start):
    sim = start(Ec2Sim)
    assert "\x1b" not in shown("audit")
    assert "\x1b[" in Terminal(sim, "audit", "--help").text
    assert "\x1b[" not in Terminal(sim, "audit", "--help", NO_COLOR="1").text
    assert max(map(columns, Terminal(sim, "audit", "--help", columns=200).lines())) <= 80


# ---- Completions ----


@pytest.mark.parametrize("shell", SHELLS)
def test_completions_name_every_command(shell):
    ended = run("completions", shell)
    assert (ended.returncode, ended.stderr) == (0, "")
    for command in ("audit", "plan", "apply", "restore", "exclude-account"):
        assert command in ended.stdout, command


def test_bash_accepts_its_completions_and_completes(tmp_path):
    script = tmp_path / "imdsctl.bash"
    script.write_text(run("completions", "bash").stdout)
    complete = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_imdsctl imdsctl "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[*]}"'
    )
    rows = [
        (["imdsctl", "au"], "audit"),
        (["imdsctl", "audit", "--all"], "--all-regions"),
        (["imdsctl", "audit", "--format", ""], "table json csv html"),
        (["imdsctl", "apply", "--max"], "--max-changes"),
    ]
    for words, expected in rows:
        command = ["bash", "--norc", "-c", complete, "bash", script, *words]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert (ended.stdout.strip(), ended.stderr) == (expected, ""), words
