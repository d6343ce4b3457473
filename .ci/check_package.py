"""Checks the output of `sam build`: the function can start in Lambda, and the policy is where the function reads it.

Usage: check_package.py FOLDER
"""

import json
import sys
import zipfile
from io import BytesIO
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from samcli.yamlhelper import yaml_parse

# The glibc of provided.al2023: a binary that needs a newer one does not start there.
LAMBDA_GLIBC = (2, 34)
# The project's limits for its package, zipped and unpacked. The sizes were 3.78 and 8.50 MB when this was written.
MOST_ZIPPED_BYTES = 3_800_000
MOST_BYTES = 8_800_000


def glibc_versions(binary: Path) -> set[tuple[int, ...]]:
    """The versions of glibc whose symbols the binary needs."""
    with binary.open("rb") as file:
        sections = ELFFile(file).iter_sections()
        needs = [section for section in sections if isinstance(section, GNUVerNeedSection)]
        names = [symbol.name for need in needs for _, symbols in need.iter_versions() for symbol in symbols]
    versions = [name.removeprefix("GLIBC_") for name in names if name.startswith("GLIBC_")]
    return {tuple(int(part) for part in version.split(".")) for version in versions}


def zipped_bytes(binary: Path) -> int:
    """The size of the package that is uploaded."""
    package = BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(binary, binary.name)
    return len(package.getvalue())


def layer_errors(built: Path) -> list[str]:
    """The errors of the layer that has the policy."""
    template = yaml_parse((built / "template.yaml").read_text())
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    in_layer = Path(variables["IMDS_POLICY_FILE"]).relative_to("/opt")
    policy = built / template["Resources"]["PolicyLayer"]["Properties"]["ContentUri"] / in_layer
    try:
        json.loads(policy.read_text())
    except (OSError, ValueError) as error:
        return [f"the layer does not have a valid policy: {error}"]
    return []


def main(built: Path) -> int:
    errors = []
    bootstrap = built / "Enforcer" / "bootstrap"
    versions = glibc_versions(bootstrap)
    if not versions:
        errors.append("bootstrap requires no glibc version: it may not be the function's binary")
    newest = max(versions, default=(0,))
    size = bootstrap.stat().st_size
    zipped = zipped_bytes(bootstrap)
    print(f"bootstrap: {size / 1e6:.2f} MB, zipped {zipped / 1e6:.2f} MB")
    print(f"bootstrap needs glibc {'.'.join(map(str, newest))}")
    if newest > LAMBDA_GLIBC:
        errors.append("provided.al2023 has only glibc 2.34: bootstrap does not start there")
    if size > MOST_BYTES or zipped > MOST_ZIPPED_BYTES:
        errors.append(f"bootstrap is larger than {MOST_BYTES / 1e6} MB, or {MOST_ZIPPED_BYTES / 1e6} MB zipped")
    others = [path.name for path in bootstrap.parent.iterdir() if path != bootstrap]
    if others:
        errors.append(f"the package has files other than bootstrap: {', '.join(others)}")
    errors += layer_errors(built)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
