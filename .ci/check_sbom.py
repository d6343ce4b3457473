"""Checks a software bill of materials: it is valid CycloneDX, and lists just the crates of the function.

Usage: check_sbom.py SBOM FUNCTION, where FUNCTION is the executable. Run it in the project's folder.
"""

import json
import sys
from pathlib import Path

from check_crates import SOURCE, dependencies
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def errors(text: str, function: bytes) -> list[str]:
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    invalid = JsonStrictValidator(version).validate_str(text)
    if invalid is not None:
        # The rest is the whole schema and the whole bill.
        return [f"it is not valid: {str(invalid).splitlines()[0]}"]
    bill = json.loads(text)
    components = [bill["metadata"]["component"], *bill["components"]]
    listed = {component["name"] for component in components}
    expected = dependencies().keys()
    found = [f"it lacks {crate}" for crate in sorted(expected - listed)]
    found += [f"it has {crate}, on which the function does not depend" for crate in sorted(listed - expected)]
    # What the linker kept proves that it was compiled in.
    built = {(name or member).decode() for name, member in SOURCE.findall(function)}
    runs = {component["name"] for component in components if component.get("scope") != "excluded"}
    found += [f"the function contains {crate}, which is not listed as such" for crate in sorted(built - runs)]
    if not built:
        found.append("the function has no source paths: this check cannot tell what it contains")
    print(f"{len(components)} crates, {len(runs)} of them run in the function, {len(built)} have source paths in it")
    return found


def main(sbom: Path, function: Path) -> int:
    found = errors(sbom.read_text(), function.read_bytes())
    for error in found:
        print(f"error: {sbom}: {error}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
