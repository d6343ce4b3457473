"""What a release has: the archive that one deploys without Rust, the bill of materials, the notes and the workflow."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest
from cfn import load
from processes import ACCOUNT, REGION, ROOT, program, settings

PACKAGE = ROOT / "release" / "package.py"
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
NAME = f"imds-enforcer-{VERSION}-x86_64"


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(part) for part in command],
        env=settings(SAM_CLI_TELEMETRY="0", PYTHONDONTWRITEBYTECODE="1", **variables),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def succeeded(*command: str | Path, **of) -> str:
    """What a command prints, which must succeed."""
    ended = run(*command, **of)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder of the archive's contents, with their modes."""
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)
        for member in file.infolist():
            (folder / member.filename).chmod(member.external_attr >> 16)
    return folder / archive.stem


# ---- The archive ----


@pytest.fixture(scope="module")
def bootstrap() -> Path:
    return program("BOOTSTRAP", "the built function")


@pytest.fixture(scope="module")
def sbom() -> Path:
    return program("SBOM", "the output of release/sbom.py")


@pytest.fixture(scope="module")
def archive(bootstrap, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    printed = succeeded(sys.executable, PACKAGE, bootstrap, "x86_64", folder)
    assert printed == f"{folder / NAME}.zip\n"
    return Path(printed.strip())


@pytest.fixture(scope="module")
def release(archive, tmp_path_factory) -> Path:
    """The folder that a user has after unzipping."""
    return unpacked(archive, tmp_path_factory.mktemp("unpacked"))


def parsed(template: Path) -> dict:
    """A template with intrinsic functions in their long form."""
    return json.loads(
        succeeded(program("TOOLS_PYTHON", "the Python of sam"), ROOT / ".ci" / "template_json.py", template)
    )


@pytest.fixture(scope="module")
def template(release) -> dict:
    return parsed(release / "template.yaml")


def functions(template: dict) -> list[dict]:
    return [r for r in template["Resources"].values() if r["Type"] == "AWS::Serverless::Function"]


def test_the_same_contents_give_the_same_bytes(archive, bootstrap, tmp_path):
    # With another time and another umask, as in another clone.
    (tmp_path / "again").mkdir()
    again = shutil.copy(bootstrap, tmp_path / "bootstrap")
    os.utime(again, (1, 1))
    again.chmod(0o700)
    policy = shutil.copytree(ROOT / "policy", tmp_path / "policy")
    (policy / "policy.json").chmod(0o600)
    (policy / ".hidden").touch()
    succeeded(sys.executable, PACKAGE, "--policy", policy, again, "x86_64", tmp_path / "again")
    assert (tmp_path / "again" / archive.name).read_bytes() == archive.read_bytes()


def test_the_template_refers_to_files_of_the_archive(release, template, bootstrap):
    assert "CodeUri" not in template["Globals"]["Function"]
    assert len(functions(template)) == 2
    for function in functions(template):
        with zipfile.ZipFile(release / function["Properties"]["CodeUri"]) as file:
            (member,) = file.infolist()
            assert (member.filename, member.external_attr >> 16) == ("bootstrap", 0o100755)
            assert file.read("bootstrap") == bootstrap.read_bytes()
    layer = release / template["Resources"]["PolicyLayer"]["Properties"]["ContentUri"]
    assert (layer / "policy.json").read_bytes() == (ROOT / "policy" / "policy.json").read_bytes()
    (members,) = (r for r in template["Resources"].values() if r["Type"] == "AWS::CloudFormation::StackSet")
    file = release / members["Properties"]["TemplateURL"]
    assert file.read_bytes() == (ROOT / "stackset" / "member.yaml").read_bytes()


def test_the_template_differs_only_in_the_code_and_its_architecture(template):
    expected = load("TEMPLATE_JSON")
    assert expected["Globals"]["Function"].pop("CodeUri") == "."
    for function in functions(expected):
        assert function.pop("Metadata")["BuildMethod"] == "rust-cargolambda"
        function["Properties"]["CodeUri"] = "function-x86_64.zip"
    architecture = expected["Parameters"]["Architecture"]
    assert (architecture["Default"], architecture["AllowedValues"]) == ("x86_64", ["x86_64", "arm64"])
    # A stack of the other architecture is refused: its functions would not start.
    architecture["AllowedValues"] = ["x86_64"]
    text = template["Parameters"]["Architecture"]["Description"]
    assert "sam build" not in text
    architecture["Description"] = text
    assert template == expected


def test_the_template_for_arm64_has_its_code_and_no_other(bootstrap, tmp_path):
    # The header of an ELF file names the architecture.
    arm64 = bytearray(bootstrap.read_bytes()[:1000])
    arm64[18:20] = (183).to_bytes(2, "little")
    other = tmp_path / "bootstrap"
    other.write_bytes(arm64)
    other.chmod(0o755)
    succeeded(sys.executable, PACKAGE, other, "arm64", tmp_path)
    folder = unpacked(tmp_path / f"imds-enforcer-{VERSION}-arm64.zip", tmp_path)
    template = parsed(folder / "template.yaml")
    assert [function["Properties"]["CodeUri"] for function in functions(template)] == 2 * ["function-arm64.zip"]
    architecture = template["Parameters"]["Architecture"]
    assert (architecture["Default"], architecture["AllowedValues"]) == ("arm64", ["arm64"])
    ended = run(sys.executable, PACKAGE, other, "x86_64", tmp_path)
    assert ended.returncode == 1 and "is not built for x86_64" in ended.stderr


def test_a_policy_that_is_no_json_is_refused(bootstrap, tmp_path):
    (tmp_path / "policy.json").write_text("{")
    ended = run(sys.executable, PACKAGE, "--policy", tmp_path, bootstrap, "x86_64", tmp_path)
    assert ended.returncode == 1 and "policy.json is not JSON" in ended.stderr
    assert not list(tmp_path.glob("*.zip"))


def test_the_licenses_of_all_crates_in_the_function_are_in_the_archive(release, sbom):
    text = (release / "THIRD-PARTY-NOTICES.txt").read_text()
    components = json.loads(sbom.read_text())["components"]
    expected = {
        f"{component['name']} {component['version']}"
        for component in components
        if component.get("scope") != "excluded" and "purl" in component
    }
    assert set(re.findall(r"^(\S+ \d\S+): .", text, re.MULTILINE)) == expected
    # Each text names the crates whose file it is; few crates have none.
    with_text = {name for names in re.findall(r"^-{80}\nOf (.*):$", text, re.MULTILINE) for name in names.split(", ")}
    assert with_text <= expected and len(with_text) > 0.95 * len(expected)
    assert "Copyright 2015-2025 Brian Smith" in text, "of ring"


def test_cfn_lint_accepts_the_template(release):
    succeeded(Path(sys.executable).with_name("cfn-lint"), "template.yaml", cwd=release)


@pytest.fixture(scope="module")
def s3(moto):
    """Moto's S3, with a bucket for packages."""
    credentials = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=moto.url, region_name=REGION, **credentials)
    client.create_bucket(Bucket="release")
    return client


def uploaded(s3, uri: str) -> bytes:
    return s3.get_object(Bucket="release", Key=uri.removeprefix("s3://release/"))["Body"].read()


@pytest.mark.parametrize("tool", [("sam", "package"), ("aws", "cloudformation", "package")])
def test_sam_and_the_aws_cli_upload_the_function_as_it_is(moto, s3, release, tmp_path, tool):
    target = tmp_path / "packaged.yaml"
    options = ["--template-file", "template.yaml", "--s3-bucket", "release", "--output-template-file", target]
    succeeded(*tool, *options, cwd=release, AWS_ENDPOINT_URL=moto.url)
    packaged = parsed(target)
    expected = (release / "function-x86_64.zip").read_bytes()
    for function in functions(packaged):
        assert uploaded(s3, function["Properties"]["CodeUri"]) == expected
    layer = tmp_path / "layer.zip"
    layer.write_bytes(uploaded(s3, packaged["Resources"]["PolicyLayer"]["Properties"]["ContentUri"]))
    with zipfile.ZipFile(layer) as file:
        assert file.read("policy.json") == (ROOT / "policy" / "policy.json").read_bytes()


def test_sam_does_not_build_what_is_built(release, tmp_path):
    """Someone who is used to it runs it first. Nothing is compiled: cargo is not on the path."""
    python = program("TOOLS_PYTHON", "the Python of sam")
    command = [python, "-m", "samcli", "build", "--build-dir", tmp_path / "build"]
    succeeded(*command, cwd=release, PATH="/usr/bin:/bin", HOME=str(tmp_path))
    built = parsed(tmp_path / "build" / "template.yaml")
    assert {(tmp_path / "build" / f["Properties"]["CodeUri"]).resolve() for f in functions(built)} == {
        (release / "function-x86_64.zip").resolve()
    }


def test_the_script_for_stack_sets_is_in_the_archive(release):
    printed = succeeded(release / "stackset" / "package", "--help", cwd=release)
    assert "Usage: stackset/package" in printed


# ---- The bill of materials ----


def checked(sbom: Path, bootstrap: Path) -> subprocess.CompletedProcess:
    python = program("RELEASE_PYTHON", "the Python of cyclonedx-python-lib")
    return run(python, ROOT / ".ci" / "check_sbom.py", sbom, bootstrap)


def crates(text: str) -> set[tuple[str, str]]:
    return {(component["name"], component["version"]) for component in json.loads(text)["components"]}


def test_the_bill_is_the_same_again_and_has_the_same_crates_for_both_architectures(sbom):
    text = sbom.read_text()
    assert succeeded(sys.executable, ROOT / "release" / "sbom.py") == text
    other = succeeded(sys.executable, ROOT / "release" / "sbom.py", "--architecture", "arm64")
    assert "aarch64-unknown-linux-gnu" in other and crates(other) == crates(text)


def test_the_bill_has_what_cargo_lock_has(sbom):
    lock = (ROOT / "Cargo.lock").read_text()
    for component in json.loads(sbom.read_text())["components"]:
        name, version, hashes = component["name"], component["version"], component.get("hashes")
        source = f'name = "{name}"\nversion = "{version}"\n'
        assert source in lock, name
        assert component["licenses"], name
        if hashes:
            checksum = (
                f'source = "registry+https://github.com/rust-lang/crates.io-index"\nchecksum = "{hashes[0]["content"]}"'
            )
            assert source + checksum in lock, name
            assert component["purl"] == f"pkg:cargo/{name}@{version}"
        else:
            assert name in ("imds-core", "imds-engine"), name


def errors(tmp_path: Path, bootstrap: Path, bill: dict) -> str:
    """The errors of a bill that is wrong."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(bill))
    ended = checked(wrong, bootstrap)
    assert ended.returncode == 1, ended.stdout
    return ended.stderr


def test_a_bill_with_other_crates_is_found(sbom, bootstrap, tmp_path):
    bill = json.loads(sbom.read_text())
    bill["components"] = [component for component in bill["components"] if component["name"] != "ring"]
    bill["components"].append({"type": "library", "name": "clap"})
    next(component for component in bill["components"] if component["name"] == "tokio")["scope"] = "excluded"
    found = errors(tmp_path, bootstrap, bill)
    assert "it lacks ring" in found
    assert "it has clap, on which the function does not depend" in found
    assert "the function contains tokio, which is not listed as such" in found


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda bill: bill.update(bomVersion=1), "Additional properties are not allowed ('bomVersion'"),
        (lambda bill: bill["components"][0].pop("name"), "'name' is a required property"),
    ],
)
def test_a_bill_that_is_not_cyclonedx_is_found(sbom, bootstrap, tmp_path, change, error):
    bill = json.loads(sbom.read_text())
    change(bill)
    assert f"it is not valid: {error}" in errors(tmp_path, bootstrap, bill)


# ---- The notes ----


@pytest.mark.parametrize(
    ("tag", "changelog", "error"),
    [
        (
            "v1.2.3",
            "# Changelog\n\n## Unreleased\n\n- More\n\n## 1.2.3 (2026-11-30)\n\n- New\n\n## 1.2.2\n\n- Old\n",
            None,
        ),
        ("v1.2.3", "## 1.2.3\n\n- New\n", None),
        ("v1.2.4", "## 1.2.3\n\n- New\n", "the tag is v1.2.4, but the version in Cargo.toml is 1.2.3"),
        ("1.2.3", "## 1.2.3\n\n- New\n", "the tag is 1.2.3, but"),
        ("v1.2.3", "## Unreleased\n\n- New\n", "CHANGELOG.md needs one section for 1.2.3"),
        ("v1.2.3", "## 1.2.3\n\n## 1.2.2\n\n- Old\n", "CHANGELOG.md needs one section for 1.2.3"),
        ("v1.2.3", "## 1.2.30\n\n- Other\n", "CHANGELOG.md needs one section for 1.2.3"),
    ],
)
def test_the_notes_are_the_section_of_the_tag(tmp_path, tag, changelog, error):
    (tmp_path / "release").mkdir()
    script = shutil.copy(ROOT / "release" / "notes.py", tmp_path / "release")
    cargo = (ROOT / "Cargo.toml").read_text()
    (tmp_path / "Cargo.toml").write_text(cargo.replace(f'version = "{VERSION}"', 'version = "1.2.3"', 1))
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    ended = run(sys.executable, script, tag)
    if error:
        assert ended.returncode == 1 and error in ended.stderr
    else:
        assert (ended.returncode, ended.stdout) == (0, "- New\n")


# ---- The workflows ----


def test_the_workflows_use_the_same_compiler():
    texts = {path.name: path.read_text() for path in ROOT.glob(".github/workflows/*.yaml")}
    compiler = re.search(r"^  RUST: (\S+)$", texts["release.yaml"], re.MULTILINE)[1]
    assert set(re.findall(r"rustup default (\d\S+)", texts["check.yaml"])) == {compiler}
    lowest = re.search(r'^rust-version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert [*map(int, compiler.split("."))] >= [*map(int, lowest.split("."))]


def test_the_release_checks_advisories_with_the_tool_that_the_checks_install():
    (version,) = re.findall(r"crate cargo-deny (\S+)\)", (ROOT / ".ci" / "run").read_text())
    assert f"/cargo-deny-{version}/bin:" in (ROOT / ".github" / "workflows" / "release.yaml").read_text()


def test_the_workflows_name_scripts_that_exist():
    for path in ROOT.glob(".github/workflows/*.yaml"):
        named = re.findall(r"(?<![\w/])((?:release|\.ci)/[\w.-]+)", path.read_text())
        assert named and all((ROOT / name).is_file() for name in named), path
