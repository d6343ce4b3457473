"""Prints the license texts of the crates in the function, which whoever passes the executable on has to pass on, too.

Usage: release/notices.py [--architecture x86_64|arm64]. Needs cargo.

The texts are those of the crates' own files. Crates with the same text share it.
"""

import argparse
import json
import re
import sys
from pathlib import Path

from sbom import TARGETS, cargo, expression, tree

NAMED = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
HEADER = """\
imds-enforcer is licensed under Apache-2.0; see LICENSE. Its executable contains these crates, and Rust's standard
library (MIT OR Apache-2.0, https://www.rust-lang.org).
"""


def texts(folder: Path) -> list[str]:
    """The license texts in the folder of a crate."""
    files = sorted(path for path in folder.iterdir() if NAMED.match(path.name) and path.is_file())
    return [path.read_text(errors="replace").replace("\r\n", "\n").strip() for path in files]


def notices(architecture: str) -> str:
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1"))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    crates = sorted(tree(TARGETS[architecture], "normal,no-proc-macro"))
    found, users = [HEADER], {}
    for name, version in crates:
        package = packages[name, version]
        # This project's own crates are in no registry.
        if not package["source"]:
            continue
        found.append(
            f"{name} {version}: {expression(package['license'])}\n{package['repository'] or ''}".strip() + "\n"
        )
        for text in texts(Path(package["manifest_path"]).parent):
            users.setdefault(text, []).append(f"{name} {version}")
    for text, names in users.items():
        found.append(f"{'-' * 80}\nOf {', '.join(names)}:\n\n{text}\n")
    return "\n".join(found)


def main() -> int:
    parser = argparse.ArgumentParser(description="Prints the license texts of the crates in the function.")
    parser.add_argument("--architecture", choices=sorted(TARGETS), default="x86_64")
    print(notices(parser.parse_args().architecture), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
