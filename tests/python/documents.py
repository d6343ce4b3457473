"""The documents' commands: blocks of shell in Markdown, and how they are run."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from processes import ROOT, Running, program, settings

# The first lines of blocks that no test runs.
MARKS = ("# Needs AWS", "# Needs a network")
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "ec2-sim" / "README.md", *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^(?P<indent> *)```sh\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of commands, and where it is."""

    page: str
    heading: str
    text: str

    @property
    def is_marked(self) -> bool:
        return self.text.startswith(MARKS)


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order."""
    text = (ROOT / page).read_text()
    found = []
    for match in BLOCK.finditer(text):
        # A comment in an earlier block is not a heading.
        before = re.sub(r"^ *```.*?^ *```$", "", text[: match.start()], flags=re.MULTILINE | re.DOTALL)
        headings = re.findall(r"^#+ (.*)$", before, re.MULTILINE)
        lines = [line.removeprefix(match["indent"]) for line in match["text"].splitlines()]
        found.append(Block(page, headings[-1], "\n".join(lines)))
    return found


def commands(page: str, heading: str) -> list[str]:
    """The blocks under a heading that a test is to run."""
    found = [block.text for block in blocks(page) if block.heading == heading and not block.is_marked]
    assert found, f"{page} has no commands to run under {heading!r}"
    return found


# Programs that a reader builds or installs; the tests use the built ones.
OURS = {"ec2-sim": "EC2_SIM_BIN", "imdsctl": "IMDSCTL_BIN"}
# Variables that the commands set themselves, so the tests do not set them.
SET_BY_COMMANDS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION")


class Commands(Running):
    """Runs a block of commands in a shell, unchanged except for the replacements in `instead`: ports and addresses."""

    def __init__(self, folder: Path, text: str, instead: dict[str, str], **more: str):
        programs = folder / "programs"
        programs.mkdir()
        for name, variable in OURS.items():
            (programs / name).symlink_to(program(variable, f"the built {name}"))
            text = text.replace(f"cargo run -p {name} --", name)
        text = text.replace(".venv/bin/python", sys.executable)
        for old, new in instead.items():
            text = text.replace(old, new)
        self.text = f"set -euo pipefail\ncd {ROOT}\n{text}\n"
        bare = {name: value for name, value in settings().items() if name not in SET_BY_COMMANDS}
        path = {"PATH": f"{programs}:{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0"}
        super().__init__(["bash", "-c", self.text], folder, "commands", bare | path | more)

    def succeeded(self, within: float = 60.0) -> str:
        """The output of the commands, which must succeed."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            code = None
        assert code == 0, f"exit code {code}\n{self.text}\n{self.output()}"
        return self.output()
