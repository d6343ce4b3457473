"""Checks that the function contains nothing of imdsctl: neither crates nor features that only the command line, the
simulator and the tests need. Cargo unites the features of all packages that a command selects, so one wrong command or
default member would compile them into the function.

Usage: check_crates.py FUNCTION, where FUNCTION is its executable. Run it in the project's folder.
"""

import re
import subprocess
import sys
from pathlib import Path

# Crates that the function must never depend on.
CRATES = {
    "anstream",
    "anyhow",
    "aws-sdk-organizations",
    "aws-sdk-signin",
    "aws-sdk-sso",
    "aws-sdk-ssooidc",
    "clap",
    "comfy-table",
    "ec2-sim",
    "imdsctl",
    "quick-xml",
    "schemars",
}
# Features that the function must never enable.
FEATURES = {
    "aws-config": {"credentials-login", "credentials-process", "default-https-client", "sso"},
    "imds-core": {"schema"},
    "imds-engine": {"fleet"},
    "tokio": {"process", "signal", "test-util"},
}
# Panic messages contain the path of their source file. Those of the standard library's crates are in another folder.
SOURCE = re.compile(rb"/registry/src/[^/]+/([A-Za-z0-9_-]+)-\d+\.\d+\.\d+[^/]{0,40}/src/|(ec2-sim|imdsctl)/src/")


def dependencies() -> dict[str, set[str]]:
    """The crates of the function, with their features, if cargo compiles the function alone."""
    command = ["cargo", "tree", "--locked", "-p", "imds-enforcer", "-e", "normal", "--prefix", "none"]
    tree = subprocess.run([*command, "-f", "{p}|{f}"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, set[str]] = {}
    for line in tree.splitlines():
        package, _, features = line.removesuffix(" (*)").partition("|")
        found.setdefault(package.split()[0], set()).update(filter(None, features.split(",")))
    return found


def tree_errors(found: dict[str, set[str]]) -> list[str]:
    errors = [f"the function depends on {crate}" for crate in sorted(CRATES & found.keys())]
    for crate, features in FEATURES.items():
        enabled = sorted(features & found.get(crate, set()))
        errors += [f"the function enables {feature} of {crate}" for feature in enabled]
    return errors


def binary_errors(function: Path, found: dict[str, set[str]]) -> list[str]:
    crates = {(name or member).decode() for name, member in SOURCE.findall(function.read_bytes())}
    if not {"hyper", "tokio"} <= crates:
        return [f"{function} has no source paths of hyper and tokio: this check cannot tell what it contains"]
    print(f"{function} has source paths of {len(crates)} crates")
    return [f"{function} contains {crate}, on which it does not depend" for crate in sorted(crates - found.keys())]


def main(function: Path) -> int:
    found = dependencies()
    errors = tree_errors(found) + binary_errors(function, found)
    for error in errors:
        print(f"error: {error}; see default-members in Cargo.toml", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
