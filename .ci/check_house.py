"""Checks the layout of the Rust sources: no file has more than 300 lines, and the files of a crate have no cycle.

A file depends on the file that defines the module of each path that it names, in `use` declarations and elsewhere. Left
out are `mod` declarations, visibilities and unit tests. The script reads text and does not resolve names. It does not
see paths inside macros, or what a module re-exports from another one.

Usage: check_house.py [FOLDER], where FOLDER is the project, by default the current folder.
"""

import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

MOST_LINES = 300
CRATES = [".", "core", "ec2-sim", "engine", "imdsctl"]
# Comments, and visibilities that name a module.
NO_CODE = re.compile(r"//[^\n]*|\bpub\(in [^)]*\)")
UNIT_TESTS = re.compile(r"#\[cfg\(test\)\]\s*mod \w+ \{.*\Z", re.DOTALL)
USE = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)
PATH = re.compile(r"(?<![\w:])\w+(?:::\w+)+")
Module = tuple[str, ...]


def modules(source: Path) -> dict[Module, Path]:
    """The files of a crate by the paths of their modules. Unit tests and other binaries are left out."""
    found: dict[Module, Path] = {}
    for file in sorted(source.rglob("*.rs")):
        parts = file.relative_to(source).with_suffix("").parts
        parts = parts[:-1] if parts[-1] in ("mod", "lib") else parts
        if "tests" not in parts and parts != ("main",):
            found[parts] = file
    return found


def expanded(tree: str) -> list[str]:
    """The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`."""
    head, brace, rest = tree.partition("{")
    if not brace:
        return [tree]
    paths, depth, start = [], 0, 0
    rest = rest[: rest.rindex("}")]
    for position, character in enumerate(rest + ","):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            paths += expanded(head + rest[start:position].strip())
            start = position + 1
    return paths


def named(text: str) -> set[Module]:
    """The paths that a file names, as they are written."""
    text = UNIT_TESTS.sub("", NO_CODE.sub("", text))
    paths = [path for tree in USE.findall(text) for path in expanded(" ".join(tree.split()))]
    paths += PATH.findall(USE.sub("", text))
    return {tuple(path.split(" as ")[0].strip().split("::")) for path in paths}


def absolute(module: Module, path: Module, known: dict[Module, Path]) -> Module | None:
    """The path from the root of the crate; `None` if it begins with another crate."""
    here, rest = module, path
    if path[0] == "crate":
        return path[1:]
    while rest and rest[0] in ("self", "super"):
        here, rest = (here[:-1] if rest[0] == "super" else here), rest[1:]
    # A path that begins with a name is that of a child module, or of another crate.
    return here + rest if rest != path or (*here, rest[0]) in known else None


def dependencies(known: dict[Module, Path]) -> dict[Module, set[Module]]:
    graph: dict[Module, set[Module]] = {}
    for module, file in known.items():
        paths = (absolute(module, path, known) for path in named(file.read_text()))
        prefixes = [[path[:length] for length in range(len(path), -1, -1)] for path in paths if path is not None]
        files = {next(prefix for prefix in each if prefix in known or not prefix) for each in prefixes}
        graph[module] = files - {module}
    return graph


def errors(project: Path) -> list[str]:
    found = []
    for file in sorted(project.rglob("*.rs")):
        lines = len(file.read_text().splitlines())
        if lines > MOST_LINES and "target" not in file.parts:
            found.append(f"{file} has {lines} lines, more than {MOST_LINES}: split it")
    for crate in CRATES:
        known = modules(project / crate / "src")
        try:
            TopologicalSorter(dependencies(known)).prepare()
        except CycleError as error:
            files = " <- ".join(str(known.get(module, module)) for module in error.args[1])
            found.append(f"files depend on each other, so move what they share to one of them or to a third: {files}")
    return found


def main(project: Path) -> int:
    found = errors(project)
    for error in found:
        print(f"error: {error}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:])))
