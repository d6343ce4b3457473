"""Archives with the same bytes for the same contents, with the same Python and zlib: the function's and the policy's.

stackset/package and release/package.py use it.
"""

import io
import json
import os
import zipfile
from pathlib import Path

# The architectures in the header of an ELF file.
MACHINES = {"x86_64": 62, "arm64": 183}


def zipped(members: dict[str, Path]) -> bytes:
    """An archive of these files, by their names in it. Times, order and modes are fixed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, path in sorted(members.items()):
            # ZipInfo's default time is 1980-01-01. Only archives from Unix have file modes.
            member = zipfile.ZipInfo(name)
            member.create_system = 3
            member.external_attr = (0o100755 if os.access(path, os.X_OK) else 0o100644) << 16
            file.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their paths in it, without hidden files and folders."""
    named = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path for name, path in named.items() if not any(part.startswith(".") for part in name.split("/"))}


def function_zip(bootstrap: Path, architecture: str) -> bytes:
    """The function's archive. Raises ValueError if the function does not start on this architecture."""
    machine = int.from_bytes(bootstrap.read_bytes()[18:20], "little")
    if machine != MACHINES[architecture]:
        raise ValueError(f"{bootstrap} is not built for {architecture}: see --architecture")
    return zipped({"bootstrap": bootstrap})


def policy_zip(policy: Path) -> bytes:
    """The archive of a folder with policy.json. Raises ValueError if that is no JSON."""
    try:
        json.loads((policy / "policy.json").read_text())
    except ValueError as error:
        raise ValueError(f"{policy / 'policy.json'} is not JSON: {error}") from error
    return zipped(files(policy))
