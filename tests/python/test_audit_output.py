"""imdsctl audit and plan: terminals, pipes, and files that cannot be written."""

import os
import re
import stat
import subprocess

import pytest
from audits import NO_GATE, Terminal, add, policy
from fleet import environment, imdsctl
from processes import Ec2Sim, program

COLOR = re.compile(r"\x1b\[[0-9;]*m")
FORMATS = ("table", "json", "csv", "html")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture
def sim(start) -> Ec2Sim:
    sim = start(Ec2Sim)
    add(sim, 3)
    return sim


def shell(sim, script: str, **more) -> subprocess.CompletedProcess:
    variables = environment(sim.url, IMDSCTL=str(program("IMDSCTL_BIN", "the built imdsctl")), **more)
    command = ["bash", "-c", f"set -o pipefail; {script}"]
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run(command, env=variables, timeout=60, **pipes)


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts a small file system in memory."""
    folders = []

    def mount(size: str):
        folder = tmp_path / f"mounted{len(folders)}"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


# ---- Terminals and pipes ----


def test_progress_appears_on_a_terminal_and_is_removed(sim):
    sim.fault(kind={"delay": 600}, action="DescribeInstances", when="always")
    shown = Terminal(sim, "audit")
    assert shown.code == 1
    assert "finding accounts and Regions" in shown.text and "0/1 accounts x Regions" in shown.text
    assert not any("accounts x Regions" in line for line in shown.lines()), "the line is cleared"
    drawn = [part for part in re.split("[\r\n]", shown.text) if "accounts" in part and "Regions" in part]
    assert max(len(COLOR.sub("", part)) for part in drawn) <= 80 + len("\x1b[2K")
    assert shown.text.count("\x1b[?25l") == shown.text.count("\x1b[?25h"), "the cursor is shown again"
    refused = Terminal(sim, "audit", "--account", "222233334444")
    errors = [line for line in refused.lines() if line.startswith("imdsctl: a role is missing")]
    assert (refused.code, len(errors)) == (2, 1), refused.lines()


def test_progress_is_not_mixed_into_a_result_that_goes_elsewhere(sim):
    shown = Terminal(sim, "audit", streams=("stderr",))
    assert shown.code == 1 and "accounts x Regions" in shown.text and "i-" not in shown.text
    shown = Terminal(sim, "audit", streams=("stdout",))
    assert shown.code == 1 and "accounts x Regions" not in shown.text and "i-" in shown.text


def test_colors_are_for_terminals_that_want_them(sim):
    assert COLOR.search(Terminal(sim, "audit").text)
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert not COLOR.search(Terminal(sim, "audit", **variables).text), variables


def test_a_report_in_html_does_not_fill_a_terminal(sim):
    shown = Terminal(sim, "audit", "--format", "html")
    assert shown.code == 2 and "use --output report.html" in shown.text and "<" not in shown.text


@pytest.mark.parametrize("kind", FORMATS)
def test_a_pipe_gets_the_result_and_nothing_else(sim, kind):
    ended = imdsctl("audit", "--format", kind, url=sim.url, TERM="xterm-256color", CLICOLOR="1")
    assert ended.returncode == 1 and "\x1b" not in ended.stdout + ended.stderr
    assert ended.stderr == ("" if kind == "table" else "0 of 3 instances are as required; 3 in use\n")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_reader_that_leaves_is_no_error(sim, kind):
    add(sim, 2000)
    ended = shell(sim, f"$IMDSCTL audit --usage-days 0 --format {kind} | head -c 1; echo ${{PIPESTATUS[*]}}")
    assert ended.stdout.endswith("1 0\n") and "imdsctl:" not in ended.stderr, ended.stdout[-300:] + ended.stderr


@pytest.mark.parametrize("kind", FORMATS)
def test_standard_output_that_is_full_is_an_error(sim, kind):
    ended = shell(sim, f"$IMDSCTL audit --format {kind} > /dev/full")
    assert ended.returncode == 2 and "standard output cannot be written: No space left" in ended.stderr


# ---- Files ----


def commands(file, folder) -> dict[str, list]:
    """Commands that write the file."""
    audits = {kind: ["audit", "--format", kind, "--output", file] for kind in FORMATS}
    return audits | {"plan": ["plan", "--policy", policy(folder, NO_GATE), "--output", file]}


def test_a_file_is_complete_and_the_summary_is_told(sim, tmp_path):
    for name, command in commands(tmp_path / "result", tmp_path).items():
        (tmp_path / "result").write_text("before")
        ended = imdsctl(*command, url=sim.url)
        assert ended.returncode == 1 and "3 instances" in ended.stdout + ended.stderr, name
        assert "i-" in (tmp_path / "result").read_text(), name
        assert not COLOR.search((tmp_path / "result").read_text()), name
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["policy.json", "result"]


def test_a_folder_that_does_not_exist_is_told_before_anything_is_read(sim, tmp_path):
    for name, command in commands(tmp_path / "none" / "result", tmp_path).items():
        sim.forget_calls()
        ended = imdsctl(*command, url=sim.url)
        assert ended.returncode == 2 and str(tmp_path / "none" / "result") in ended.stderr, f"{name}: {ended.stderr}"
        assert sim.calls("DescribeInstances") == [], name


def test_a_folder_in_the_place_of_the_file_is_told_and_stays(sim, tmp_path):
    folder = tmp_path / "place" / "folder"
    folder.mkdir(parents=True)
    for name, command in commands(folder, tmp_path).items():
        ended = imdsctl(*command, url=sim.url)
        assert ended.returncode == 2 and "folder cannot be written" in ended.stderr, f"{name}: {ended.stderr}"
        assert list(folder.parent.iterdir()) == [folder] and not list(folder.iterdir()), name


def test_an_error_before_the_audit_leaves_no_file_behind(sim, tmp_path):
    (tmp_path / "place").mkdir()
    for name, command in commands(tmp_path / "place" / "result", tmp_path).items():
        ended = imdsctl(*command, url=sim.url, AWS_ACCESS_KEY_ID="")
        assert ended.returncode == 2 and list((tmp_path / "place").iterdir()) == [], name


@ROOT_ONLY
def test_a_full_disk_leaves_the_file_of_before_and_is_told_with_its_name(sim, tmp_path, mounted):
    add(sim, 2000)
    folder = mounted("64k")
    for name, command in commands(folder / "result", tmp_path).items():
        (folder / "result").write_text("before")
        ended = imdsctl(*command, *(["--usage-days", "0"] if name != "plan" else []), url=sim.url)
        assert ended.returncode == 2 and "No space left on device" in ended.stderr, f"{name}: {ended.stderr}"
        assert (folder / "result").read_text() == "before", name
        assert str(folder / "result") in ended.stderr, f"{name}: {ended.stderr}"
        assert [path.name for path in folder.iterdir()] == ["result"], name


@ROOT_ONLY
def test_a_file_system_that_is_read_only_is_told(sim, tmp_path, mounted):
    folder = mounted("1m")
    (folder / "result").write_text("before")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    for name, command in commands(folder / "result", tmp_path).items():
        ended = imdsctl(*command, url=sim.url)
        assert ended.returncode == 2 and "Read-only file system" in ended.stderr, f"{name}: {ended.stderr}"
        assert str(folder / "result") in ended.stderr and (folder / "result").read_text() == "before", name


def test_what_is_no_regular_file_is_written_to_and_not_replaced(sim, tmp_path):
    target, link, fifo = tmp_path / "target", tmp_path / "link", tmp_path / "fifo"
    for name, command in commands(link, tmp_path).items():
        target.write_text("before")
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert imdsctl(*command, url=sim.url).returncode == 1
        assert link.is_symlink() and "i-" in target.read_text(), name
    for name, command in commands(fifo, tmp_path).items():
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo)
        reader = subprocess.Popen(["timeout", "10", "cat", fifo], stdout=subprocess.PIPE, text=True)
        assert imdsctl(*command, url=sim.url).returncode == 1
        assert stat.S_ISFIFO(fifo.stat().st_mode), name
        assert "i-" in reader.communicate(timeout=15)[0], name
