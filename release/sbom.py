"""Prints the software bill of materials of the function: CycloneDX 1.6 in JSON.

Usage: release/sbom.py [--architecture x86_64|arm64]. Needs cargo.

It lists the crates that cargo compiles for the function alone, as `cargo tree` resolves them. Tools that read `cargo
metadata` list more: there, cargo unites the features of all members of the workspace, and what only imdsctl enables
seems to be part of the function. Crates that run only while the function is compiled, which are procedural macros and
what they need, have the scope "excluded". The same commit gives the same bytes.
"""

import argparse
import json
import re
import subprocess
import sys
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTION = "imds-enforcer"
TARGETS = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
# A package of Cargo.lock: name, version, and the checksum of its file. Members of the workspace have none.
LOCKED = re.compile(
    r'^\[\[package\]\]\nname = "(.+)"\nversion = "(.+)"\n(?:source = .+\n)?(?:checksum = "(.+)"\n)?', re.MULTILINE
)
Crate = tuple[str, str]


def cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def tree(target: str, edges: str) -> dict[Crate, set[Crate]]:
    """The crates of the function, and what each depends on. cargo tree prints the subtree of a crate once."""
    arguments = ["--locked", "-p", FUNCTION, "-e", edges, "--target", target, "--prefix", "depth", "-f", "|{p}"]
    found: dict[Crate, set[Crate]] = {}
    path: list[Crate] = []
    for line in cargo("tree", *arguments).splitlines():
        depth, name, version = re.match(r"(\d+)\|(\S+) v(\S+)", line).groups()
        path[int(depth) :] = [(name, version)]
        found.setdefault(path[-1], set())
        if len(path) > 1:
            found[path[-2]].add(path[-1])
    return found


def expression(license: str) -> str:
    """A license as an SPDX expression. Older crates have a slash in place of OR."""
    return re.sub(r"\s*/\s*", " OR ", license)


def component(package: dict, checksum: str) -> dict:
    """A crate. Those of this project are in no registry."""
    name, version = package["name"], package["version"]
    is_function = name == FUNCTION
    purl = f"pkg:cargo/{name}@{version}"
    found = {
        "type": "application" if is_function else "library",
        "bom-ref": purl if checksum else f"{name}@{version}",
        "name": name,
        "version": version,
        "description": package["description"],
        "hashes": [{"alg": "SHA-256", "content": checksum}] if checksum else None,
        "licenses": [{"expression": expression(package["license"])}] if package["license"] else None,
        "purl": purl if checksum else None,
        "externalReferences": [{"type": "vcs", "url": package["repository"]}] if package["repository"] else None,
    }
    return {key: value for key, value in found.items() if value}


def bill(target: str) -> dict:
    locked = LOCKED.findall((ROOT / "Cargo.lock").read_text())
    checksums = {(name, version): checksum for name, version, checksum in locked}
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1"))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    crates = tree(target, "normal")
    in_function = tree(target, "normal,no-proc-macro").keys()
    components = {crate: component(packages[crate], checksums[crate]) for crate in sorted(crates)}
    for crate in crates.keys() - in_function:
        components[crate]["scope"] = "excluded"
    references = {crate: found["bom-ref"] for crate, found in components.items()}
    dependencies = [
        {"ref": references[crate], "dependsOn": sorted(references[other] for other in crates[crate])}
        for crate in sorted(crates)
    ]
    function = next(crate for crate in components if crate[0] == FUNCTION)
    found = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": components.pop(function),
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": list(components.values()),
        "dependencies": dependencies,
    }
    # Derived from the contents, so that the same crates have the same number.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(found, sort_keys=True))
    return {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "serialNumber": f"urn:uuid:{number}"} | found


def main() -> int:
    parser = argparse.ArgumentParser(description="Prints the software bill of materials of the function.")
    parser.add_argument("--architecture", choices=sorted(TARGETS), default="x86_64")
    print(json.dumps(bill(TARGETS[parser.parse_args().architecture]), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
