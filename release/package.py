"""Makes the archive of a release: what one deploys without Rust.

Usage: release/package.py [--policy FOLDER] BOOTSTRAP ARCHITECTURE FOLDER

BOOTSTRAP is the built function, ARCHITECTURE is x86_64 or arm64. Writes imds-enforcer-VERSION-ARCHITECTURE.zip into
FOLDER and prints its path. VERSION is that of Cargo.toml. With the same Python and zlib, the same contents give the
same bytes.

The archive has the function's own archive beside a template that refers to it, the policy, the templates of stack sets,
the service control policies, the documents, the recipes for outcome events, and the license texts of the crates in the
function. Needs cargo for them.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "stackset"))

from archive import MACHINES, files, function_zip, policy_zip, zipped  # noqa: E402 (from the folder above)
from notes import version  # noqa: E402 (without bytecode in the project's folder)
from notices import notices  # noqa: E402

# What the archive has of the project. The policy may come from elsewhere.
FILES = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "samconfig.toml"]
FOLDERS = ["docs", "outcome-events", "policy", "service-control-policies", "stackset"]
BUILD = """\
    Metadata:
      BuildMethod: rust-cargolambda
      BuildProperties:
"""


def replaced(text: str, pattern: str, replacement: str, count: int) -> str:
    """The text with each match replaced. Raises ValueError unless there are `count` matches."""
    text, found = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    if found != count:
        raise ValueError(f"template.yaml has {found} matches of {pattern!r}, not {count}")
    return text


def template(architecture: str) -> str:
    """The template for a built function. It keeps the comments."""
    text = (ROOT / "template.yaml").read_text()
    functions = text.count("    Type: AWS::Serverless::Function\n")
    # The AWS CLI's `package` knows no globals: without a path of its own, each function would be the whole folder.
    text = replaced(text, r"^ {4}CodeUri: \.\n", "", 1)
    code = f"    Properties:\n      CodeUri: function-{architecture}.zip\n"
    # `sam build` has nothing to build, and would need Rust.
    build = re.escape(BUILD) + r"(?: {8}.*\n)+ {4}Properties:\n"
    text = replaced(text, build, code, functions)
    # A stack that was deployed for the other architecture is refused, as its functions would not start.
    architectures = r"^( {4}Default: )x86_64\n( {4}AllowedValues: )\[x86_64, arm64\]\n"
    text = replaced(text, architectures, rf"\g<1>{architecture}\n\g<2>[{architecture}]\n", 1)
    description = r"^( {4}Description: The instruction set architecture that the function )is built for and runs .*\n"
    return replaced(text, description, r"\g<1>was built for. The archive of a release has one.\n", 1)


def archive(bootstrap: Path, architecture: str, policy: Path, name: str) -> bytes:
    """The archive of a release, with everything in one folder of this name."""
    policy_zip(policy)
    members = {file: ROOT / file for file in FILES}
    for folder in FOLDERS:
        found = files(policy if folder == "policy" else ROOT / folder)
        members |= {f"{folder}/{path}": file for path, file in found.items() if "__pycache__" not in path}
    with tempfile.TemporaryDirectory() as made:
        for file, content in (
            (f"function-{architecture}.zip", function_zip(bootstrap, architecture)),
            ("template.yaml", template(architecture).encode()),
            ("THIRD-PARTY-NOTICES.txt", notices(architecture).encode()),
        ):
            members[file] = Path(made, file)
            members[file].write_bytes(content)
        return zipped({f"{name}/{path}": file for path, file in members.items()})


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the archive of a release.")
    parser.add_argument("--policy", type=Path, default=ROOT / "policy", help="the folder with policy.json")
    parser.add_argument("bootstrap", type=Path, help="the built function")
    parser.add_argument("architecture", choices=sorted(MACHINES))
    parser.add_argument("folder", type=Path, help="where the archive is written")
    arguments = parser.parse_args()
    name = f"imds-enforcer-{version()}-{arguments.architecture}"
    target = arguments.folder / f"{name}.zip"
    try:
        target.write_bytes(archive(arguments.bootstrap, arguments.architecture, arguments.policy, name))
    except (OSError, ValueError) as error:
        print(f"release/package.py: {error}", file=sys.stderr)
        return 1
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
