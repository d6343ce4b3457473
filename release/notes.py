"""Prints the notes of a release: the section of CHANGELOG.md for a tag such as v1.2.3.

Usage: release/notes.py TAG

Fails unless the tag is the version of Cargo.toml, and CHANGELOG.md has a section of that name that is not empty.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def version() -> str:
    """The version of the workspace."""
    found = re.findall(r'^version = "([^"]+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"Cargo.toml has {len(found)} versions at the start of a line")
    return found[0]


def notes(tag: str) -> str:
    """The section of the changelog. Raises ValueError if tag, version and changelog do not match."""
    if tag != f"v{version()}":
        raise ValueError(f"the tag is {tag}, but the version in Cargo.toml is {version()}")
    # A date may follow the version.
    heading = re.escape(version())
    section = rf"^## {heading}(?: [^\n]*)?\n(.*?)(?=^## |\Z)"
    found = re.findall(section, (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE | re.DOTALL)
    if len(found) != 1 or not found[0].strip():
        raise ValueError(f"CHANGELOG.md needs one section for {version()} that is not empty")
    return found[0].strip()


def main(tag: str) -> int:
    try:
        print(notes(tag))
    except ValueError as error:
        print(f"release/notes.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
