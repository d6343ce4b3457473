"""docs/local.md, "The whole loop": its commands, unchanged except for ports."""

import pytest
from documents import Commands, commands
from processes import free_port, until


@pytest.fixture
def start(tmp_path):
    started = []

    def start(text: str, instead: dict[str, str]) -> Commands:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        process = Commands(folder, text, instead, TMPDIR=str(tmp_path))
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        print(f"--- {process.text}\n--- printed:\n{process.output()}")
        process.stop()


def test_the_whole_loop(start):
    ec2, aws, build, client = commands("docs/local.md", "The whole loop")
    assert build == "sam build", "made before these tests"
    instead = {"4566": str(free_port()), "4577": str(free_port())}
    sim = start(ec2, instead)
    until("ec2-sim", lambda: "listens on" in sim.output())
    ministack = start(aws, instead)
    until("ministack", lambda: ministack.listens(int(instead["4577"])))
    printed = start(client, instead).succeeded(within=90)
    shown = printed[printed.rindex("[") :] if "[" in printed else printed
    assert '"required"' in shown and '"applied"' in shown, printed
