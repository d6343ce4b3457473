"""What an organization without a hub deploys: stackset/standalone.yaml, and the script that uploads its code."""

import base64
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import uuid
import zipfile
from pathlib import Path

import boto3
import pytest
from cfn import Filled, load
from iam import is_allowed
from processes import ACCOUNT, REGION, ROOT, program, settings

FILE = ROOT / "stackset" / "standalone.yaml"
TEMPLATE_JSON = ROOT / ".ci" / "template_json.py"
CODE = {"CodeBucketPrefix": "code", "CodeVersion": "v1"}
REGIONS = ("us-east-1", "eu-west-1")
BOUNDARY = "arn:aws:iam::444455556666:policy/platform/boundary"


def tools_python(*arguments, **variables: str) -> subprocess.CompletedProcess:
    command = [program("TOOLS_PYTHON", "the Python of sam"), *arguments]
    return subprocess.run(command, env=settings(**variables), capture_output=True, text=True, timeout=60)


def json_of(*arguments) -> dict:
    ended = tools_python(TEMPLATE_JSON, *arguments)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def template() -> dict:
    return json_of(FILE)


@pytest.fixture(scope="module")
def sam(tmp_path_factory) -> dict:
    """The template for one account as SAM transforms it."""
    source = load("TEMPLATE_JSON")
    source["Globals"]["Function"]["CodeUri"] = "s3://code/function.zip"
    source["Resources"]["PolicyLayer"]["Properties"]["ContentUri"] = "s3://code/policy.zip"
    path = tmp_path_factory.mktemp("sam") / "template.yaml"
    path.write_text(json.dumps(source))
    return json_of(path, "--transform")


# ---- The generated file ----


def test_it_is_what_the_template_makes():
    ended = tools_python(ROOT / ".ci" / "make_standalone.py", "--check")
    assert ended.returncode == 0, ended.stderr


def test_a_stale_one_is_found_and_made_anew_with_the_same_bytes(tmp_path):
    for name in (".ci", "stackset"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "template.yaml", tmp_path)
    script, file = tmp_path / ".ci" / "make_standalone.py", tmp_path / "stackset" / "standalone.yaml"
    file.write_text(file.read_text().replace("Timeout: 180", "Timeout: 181"))
    ended = tools_python(script, "--check")
    assert ended.returncode == 1 and "run python .ci/make_standalone.py" in ended.stderr
    # Neither the Region nor the order of sets is in it.
    for seed, region in (("1", "us-east-1"), ("2", "cn-north-1")):
        assert tools_python(script, PYTHONHASHSEED=seed, AWS_DEFAULT_REGION=region).returncode == 0
        assert file.read_bytes() == FILE.read_bytes()


def test_what_a_service_managed_stack_set_refuses_is_not_there(template):
    text = FILE.read_text()
    assert len(text.encode()) < 1_000_000
    assert "Transform" not in template and "AWS::Serverless" not in text and "Fn::Transform" not in text
    assert not any("Metadata" in resource for resource in template["Resources"].values())
    assert text.startswith("# Generated from template.yaml. Do not edit")


def test_nothing_of_a_hub_is_there(template):
    types = {resource["Type"] for resource in template["Resources"].values()}
    assert not types & {"AWS::Events::EventBus", "AWS::Events::EventBusPolicy", "AWS::CloudFormation::StackSet"}
    text = json.dumps(template)
    for word in ("IMDS_MEMBER_ROLE", "OrganizationId", "PrincipalOrg", "TargetUnits", "-member", "IsHub"):
        assert word not in text, word
    # Lambda assumes the functions' roles; they assume none.
    for name, resource in template["Resources"].items():
        properties = dict(resource["Properties"])
        trust = properties.pop("AssumeRolePolicyDocument", None)
        assert "sts:" not in json.dumps(properties), name
        if trust:
            assert [s["Principal"] for s in trust["Statement"]] == [{"Service": "lambda.amazonaws.com"}], name


def references(node) -> list[str]:
    """The names that a template refers to, pseudo parameters left out."""
    if isinstance(node, list):
        return [name for item in node for name in references(item)]
    if not isinstance(node, dict):
        return []
    names = []
    for key, value in node.items():
        if key in ("Ref", "Condition") and isinstance(value, str):
            names.append(value)
        elif key in ("Fn::GetAtt", "Fn::If"):
            names.append(value[0])
        elif key == "Fn::Sub":
            text, own = (value, {}) if isinstance(value, str) else value
            names += [name for name in re.findall(r"\$\{(\w[\w:]*)", text) if name not in own]
        elif key == "DependsOn":
            names += [value] if isinstance(value, str) else value
        names += references(value)
    return [name for name in names if not name.startswith("AWS::")]


def test_everything_that_is_referred_to_is_there_and_everything_there_is_used(template):
    named = set(references(template))
    assert named <= {*template["Parameters"], *template["Conditions"], *template["Resources"]}
    assert named >= {*template["Parameters"], *template["Conditions"]}
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template["Parameters"])


def same(resources: dict) -> dict:
    """The resources without what differs: the code, and the marks of SAM."""
    comparable = {}
    for name, resource in resources.items():
        resource = dict(resource, Properties=dict(resource["Properties"]))
        for key in ("Code", "Content"):
            resource["Properties"].pop(key, None)
        if resource["Properties"].get("Tags") == [{"Key": "lambda:createdBy", "Value": "SAM"}]:
            del resource["Properties"]["Tags"]
        resource.pop("Metadata", None)
        comparable[re.sub("^PolicyLayer[0-9a-f]{10}$", "PolicyLayer", name)] = resource
    return json.loads(re.sub('"PolicyLayer[0-9a-f]{10}"', '"PolicyLayer"', json.dumps(comparable)))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {
            "Mode": "enforce",
            "AllowLoosening": "true",
            "DenyEndpointChanges": "true",
            "HopLimitCeiling": "2",
            "SweepSchedule": "rate(1 hour)",
            "ModifyRate": "9",
            "Architecture": "arm64",
            "LogRetentionDays": "30",
            "Ec2EndpointUrl": "https://ec2-fips.us-east-1.amazonaws.com",
            "IamPath": "/platform/",
            # The account's and Region's own: those of others are turned into them.
            "AlarmTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms",
            "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/platform/boundary",
        },
    ],
)
def test_an_account_gets_what_the_template_for_one_account_makes(template, sam, parameters):
    made, expected = Filled(template, **CODE, **parameters), Filled(sam, **parameters)
    assert len(expected.resources) > 30
    assert same(made.resources) == same(expected.resources)
    outputs = {name: output for name, output in sam["Outputs"].items() if expected.holds(output.get("Condition"))}
    assert template["Outputs"] == outputs


def test_the_parameters_are_those_of_the_template(template, sam):
    added = {"CodeBucketPrefix", "CodeKey", "CodeVersion"}
    assert not added & sam["Parameters"].keys()
    for name, parameter in template["Parameters"].items():
        if name not in added:
            differing = {key for key in parameter if parameter[key] != sam["Parameters"][name].get(key)}
            assert differing <= {"Description", "AllowedPattern"}, name
    assert template["Parameters"]["Mode"]["Default"] == "dry-run"
    assert "Default" not in template["Parameters"]["CodeBucketPrefix"]
    assert "Default" not in template["Parameters"]["CodeVersion"]


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("named", ["REGION", "us-east-1"])
def test_alarms_go_to_a_topic_of_their_own_region(template, region, named):
    """PutMetricAlarm refuses a topic of another Region."""
    topic = f"arn:aws:sns:{named}:444455556666:alarms"
    assert re.fullmatch(template["Parameters"]["AlarmTopicArn"]["AllowedPattern"], topic)
    alarms = Filled(template, region, **CODE, AlarmTopicArn=topic).of_type("AWS::CloudWatch::Alarm")
    assert len(alarms) >= 8
    for name, alarm in alarms.items():
        own = [f"arn:aws:sns:{region}:444455556666:alarms"]
        assert alarm["AlarmActions"] == alarm["OKActions"] == own, name


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (BOUNDARY, f"arn:aws:iam::{ACCOUNT}:policy/platform/boundary"),
        ("arn:aws:iam::aws:policy/PowerUserAccess",) * 2,
    ],
)
def test_the_boundary_is_the_account_s_own(template, named, expected):
    roles = Filled(template, **CODE, PermissionsBoundaryArn=named).of_type("AWS::IAM::Role")
    assert {role["PermissionsBoundary"] for role in roles.values()} == {expected}
    assert "PermissionsBoundary" not in str(Filled(template, **CODE).of_type("AWS::IAM::Role"))


@pytest.mark.parametrize("region", REGIONS)
def test_code_and_policy_are_in_the_region_s_bucket_under_their_version(template, region):
    filled = Filled(template, region, **CODE, CodeKey="imds/prod", Architecture="arm64")
    code = [function["Code"] for function in filled.of_type("AWS::Lambda::Function").values()]
    assert code == 2 * [{"S3Bucket": f"code-{region}", "S3Key": "imds/prod/v1/function-arm64.zip"}]
    (layer,) = filled.of_type("AWS::Lambda::LayerVersion").values()
    assert layer["Content"] == {"S3Bucket": f"code-{region}", "S3Key": "imds/prod/v1/policy.zip"}


# ---- The script ----


class Package:
    """stackset/package, with a build, a policy and buckets of the test's own."""

    def __init__(self, folder: Path, url: str):
        self.folder, self.prefix = folder, f"code-{uuid.uuid4().hex[:12]}"
        # moto takes a template from a bucket that is in the path of the URL if that is of localhost.
        self.environment = settings(AWS_ENDPOINT_URL=url.replace("127.0.0.1", "localhost"))
        self.build, self.policy = folder / "build", folder / "policy"
        self.sources = {
            "bootstrap": elf(62),
            "policy.json": b'{"baseline": {"HttpTokens": "required"}}',
            "examples/other.json": b"{}",
            ".hidden": b"",
        }
        for name, content in self.sources.items():
            folder, mode = (self.build / "Enforcer", 0o755) if name == "bootstrap" else (self.policy, 0o644)
            self.write(folder / name, content, mode)
        self.s3 = {region: self.client("s3", region) for region in REGIONS}

    def client(self, service: str, region: str = REGION):
        credentials = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "secret"}
        url = self.environment["AWS_ENDPOINT_URL"]
        return boto3.client(service, endpoint_url=url, region_name=region, **credentials)

    def write(self, path: Path, content: bytes, mode: int = 0o644):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)

    def on_path(self, name: str, program: Path | str):
        """Puts a program, or the text of one, at the beginning of the path."""
        path = self.folder / "bin" / name
        if isinstance(program, Path):
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(program)
        else:
            self.write(path, program.encode(), 0o755)
        self.environment["PATH"] = f"{path.parent}:{self.environment['PATH']}"

    def play_aws(self):
        """Plays the AWS CLI, which takes half a second a call, and what moto does not do."""
        self.on_path("aws", PLAYED_AWS)

    def uploaded(self) -> dict[str, bytes]:
        """What the played AWS CLI uploaded, by bucket and key."""
        root = self.folder / "uploaded"
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def create_buckets(self):
        for region, s3 in self.s3.items():
            place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
            s3.create_bucket(Bucket=f"{self.prefix}-{region}", **place)
            versioning = {"Status": "Enabled"}
            s3.put_bucket_versioning(Bucket=f"{self.prefix}-{region}", VersioningConfiguration=versioning)

    def objects(self, region: str) -> list[str]:
        """The keys of all versions of all objects."""
        listed = self.s3[region].list_object_versions(Bucket=f"{self.prefix}-{region}")
        return sorted(version["Key"] for version in listed.get("Versions", []))

    def content(self, region: str, key: str) -> bytes:
        return self.s3[region].get_object(Bucket=f"{self.prefix}-{region}", Key=key)["Body"].read()

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs it with just these arguments."""
        command = [ROOT / "stackset" / "package", *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=120
        )

    def __call__(self, *arguments: str, exit_code: int = 0, regions=REGIONS) -> subprocess.CompletedProcess:
        """Runs it with the test's buckets, build and policy."""
        given = [self.prefix, ",".join(regions), "--build-dir", str(self.build), "--policy", str(self.policy)]
        ended = self.run(*given, *arguments)
        assert ended.returncode == exit_code, ended.stderr
        return ended

    def version(self, *arguments: str, regions=REGIONS) -> str:
        """The version that it uploads."""
        return re.search("^# CodeVersion ([0-9a-f]{16}),", self(*arguments, regions=regions).stdout)[1]

    def aws(self, *arguments: str) -> str:
        ended = subprocess.run(
            ["aws", *arguments], env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, f"aws {shlex.join(arguments)}: {ended.stderr}"
        return ended.stdout


PLAYED_AWS = """#!/bin/sh
echo "$*" >> calls
all="$*"
while [ $# -gt 0 ]; do
    case "$1" in
        --bucket) bucket="$2" ;;
        --key) key="$2" ;;
        --body) body="$2" ;;
        --if-none-match) shift ;;
    esac
    last="$1"
    shift
done
case "$all" in
    --version) echo "${CLI:-aws-cli/2.17.34 Python/3.11.9 Darwin/23.6.0 exe/x86_64}" ;;
    sts*) echo "111122223333 arn:aws:iam::111122223333:user/u" ;;
    *--expected-bucket-owner\\ 444455556666*)
        echo "An error occurred (403) when calling the HeadBucket operation: Forbidden" >&2
        exit 254
        ;;
    *head-bucket*) echo "${PLACE:-None}" ;;
    *head-object*)
        if [ ! -f "uploaded/$bucket/$key" ]; then
            echo "An error occurred ${MISSING:-(404)} when calling the HeadObject operation" >&2
            exit 254
        fi
        # Not asked for, or uploaded without one: S3 answers without it.
        case "$all" in
            *--checksum-mode\\ ENABLED*) cat "checksums/$bucket/$key" 2> /dev/null || echo None ;;
            *) echo None ;;
        esac
        ;;
    *get-object*) cp "uploaded/$bucket/$key" "$last" ;;
    *put-object*)
        mkdir -p "uploaded/$bucket/$(dirname "$key")" "checksums/$bucket/$(dirname "$key")"
        cp "$body" "uploaded/$bucket/$key"
        case "$all" in
            *--checksum-algorithm\\ SHA256*)
                openssl dgst -sha256 -binary "$body" | base64 > "checksums/$bucket/$key"
                ;;
        esac
        ;;
    *describe-stack-set*)
        if [ -z "$STACK_SET" ]; then
            echo "An error occurred (StackSetNotFoundException) when calling the DescribeStackSet operation" >&2
            exit 254
        fi
        printf '%b\\n' "$STACK_SET"
        ;;
    *presign*) echo "https://bucket.s3.amazonaws.com/key?X-Amz-Signature=x" ;;
esac
"""


def elf(machine: int) -> bytes:
    """A file with the ELF header of this architecture."""
    return b"\x7fELF".ljust(18, b"\0") + machine.to_bytes(2, "little") + bytes(1000)


@pytest.fixture
def package(tmp_path, moto) -> Package:
    return Package(tmp_path, moto.url)


def commands(text: str) -> list[list[str]]:
    """The arguments of the AWS CLI in the text that the script prints."""
    words = shlex.split(text.replace("\\\n", ""), comments=True)
    starts = [index for index, word in enumerate(words) if word == "aws"] + [len(words)]
    found = [words[start + 1 : end] for start, end in zip(starts, starts[1:], strict=False)]
    assert [arguments[1] for arguments in found] == [
        "create-stack-set",
        "create-stack-instances",
        # A pilot, and all.
        "update-stack-set",
        "update-stack-set",
        "list-stack-instances",
    ]
    return found


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def parameters_of(arguments: list[str]) -> dict[str, object]:
    given = json.loads(option(arguments, "--parameters"))
    return {p["ParameterKey"]: p.get("ParameterValue", p.get("UsePreviousValue")) for p in given}


def test_it_uploads_to_each_region_s_bucket_once(package):
    package.create_buckets()
    version = package.version()
    code = [f"imds-enforcer/{version}/function-x86_64.zip", f"imds-enforcer/{version}/policy.zip"]
    *first, template = package.objects("us-east-1")
    assert first == package.objects("eu-west-1") == code
    assert re.fullmatch("imds-enforcer/standalone-[0-9a-f]{16}.yaml", template)
    assert package.content("us-east-1", template) == FILE.read_bytes()
    # Versioning shows whether an object is uploaded again.
    again = package()
    assert again.stderr.count("exists already") == 5 and "is uploaded" not in again.stderr
    assert package.objects("us-east-1") == [*code, template] and package.objects("eu-west-1") == code


def test_the_archives_hold_the_function_and_the_policy(package):
    package.play_aws()
    version = package.version("--key", "imds/prod")
    archives = {}
    for file in ("function-x86_64.zip", "policy.zip"):
        content = package.uploaded()[f"{package.prefix}-eu-west-1/imds/prod/{version}/{file}"]
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archives[file] = {member.filename: member.external_attr >> 16 for member in archive.infolist()}
            assert all(archive.read(name) == package.sources[name] for name in archives[file])
    assert archives == {
        "function-x86_64.zip": {"bootstrap": 0o100755},
        "policy.zip": {"examples/other.json": 0o100644, "policy.json": 0o100644},
    }


def test_the_same_contents_have_the_same_version_and_others_another(package, tmp_path, moto):
    package.play_aws()
    version = package.version()
    # Built later, under another umask and in another folder.
    twin = Package(tmp_path / "twin", moto.url)
    twin.prefix = package.prefix
    twin.play_aws()
    os.utime(twin.policy / "policy.json", (1, 1))
    (twin.policy / "policy.json").chmod(0o600)
    assert twin.version() == version
    assert twin.uploaded() == package.uploaded()
    twin.write(twin.policy / "policy.json", b"{}")
    changed = twin.version()
    twin.write(twin.build / "Enforcer" / "bootstrap", elf(62) + b"\0", 0o755)
    assert len({version, changed, twin.version()}) == 3


def test_missing_buckets_are_named_with_the_commands_that_create_them(package):
    ended = package(exit_code=1)
    assert ended.stdout == ""
    policies = []
    for region in REGIONS:
        bucket = f"{package.prefix}-{region}"
        assert f"the bucket {bucket} does not exist" in ended.stderr
        (create,) = re.findall(f"^aws (s3api create-bucket --region {region} .*)$", ended.stderr, re.MULTILINE)
        package.aws(*shlex.split(create))
        (policy,) = re.findall(
            rf"put-bucket-policy --region {region} --bucket {bucket} \\\n +--policy '(.*?)'", ended.stderr, re.S
        )
        policies.append(json.loads(policy.replace('"Bool"', '"StringEquals"'))["Statement"])
        assert all(s["Resource"] == f"arn:aws:s3:::{bucket}/imds-enforcer/*" for s in policies[-1])
    package()
    # moto supports none of the policy's conditions.
    bucket = f"arn:aws:s3:::{package.prefix}-us-east-1"
    ours, theirs = {"aws:PrincipalOrgID": "ORGANIZATION_ID"}, {"aws:PrincipalOrgID": "o-other00000"}
    statements = [*policies[0], {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}]
    for action, key, context, expected in [
        ("s3:GetObject", "imds-enforcer/v/policy.zip", ours, True),
        ("s3:GetObject", "imds-enforcer/v/policy.zip", theirs, False),
        ("s3:GetObject", "imds-enforcer/v/policy.zip", {}, False),
        ("s3:GetObject", "other/v/policy.zip", ours, False),
        ("s3:PutObject", "imds-enforcer/v/policy.zip", {"s3:ObjectCreationOperation": "true"}, False),
        (
            "s3:PutObject",
            "imds-enforcer/v/policy.zip",
            {"s3:ObjectCreationOperation": "true", "s3:if-none-match": "*"},
            True,
        ),
    ]:
        assert is_allowed(statements, action, f"{bucket}/{key}", context) is expected, (action, key, context)


def documented_policy(package: Package) -> list[dict]:
    """The statements of the bucket policy in the help. The evaluator knows no Bool."""
    policy = re.search(r"^    (\{.*^    \})$", package.run("--help").stdout, re.S | re.M)[1]
    return json.loads(policy.replace('"Bool"', '"StringEquals"'))["Statement"]


@pytest.mark.parametrize("action", ["DeleteObject", "DeleteObjectVersion", "ReplicateObject", "ReplicateDelete"])
def test_a_version_cannot_be_removed_to_make_room_for_another(package, action):
    """If-None-Match succeeds for a key whose object is deleted; replication overwrites without PutObject."""
    administrator = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
    bucket = "arn:aws:s3:::BUCKET_PREFIX-REGION"
    for key, expected in (("KEY/v/policy.zip", False), ("KEY/standalone-1.yaml", False), ("other/policy.zip", True)):
        statements = [*administrator, *documented_policy(package)]
        assert is_allowed(statements, f"s3:{action}", f"{bucket}/{key}", {}) is expected, key
    assert "must first change the bucket policy" in " ".join(package.run("--help").stdout.split())


@pytest.mark.parametrize("checksum", ["of other content", "missing"])
def test_what_a_bucket_has_must_be_the_same_content(package, checksum):
    package.play_aws()
    version = package.version(regions=["us-east-1"])
    place = f"{package.prefix}-us-east-1/imds-enforcer/{version}/policy.zip"
    checksums = package.folder / "checksums" / place
    if checksum == "missing":
        # An object without a checksum cannot be verified.
        checksums.unlink()
    else:
        checksums.write_text(base64.b64encode(hashlib.sha256(b"other").digest()).decode() + "\n")
    ended = package(regions=["us-east-1"], exit_code=1)
    assert f"s3://{place} is not what this run packaged" in ended.stderr and "--key" in ended.stderr
    assert ended.stdout == ""


def test_what_is_there_is_compared_with_its_checksum(package):
    """With S3 as moto has it."""
    package.create_buckets()
    version = package.version(regions=["eu-west-1"])
    s3, bucket = package.s3["eu-west-1"], f"{package.prefix}-eu-west-1"
    for key in package.objects("eu-west-1"):
        head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert (
            head["ChecksumSHA256"]
            == base64.b64encode(hashlib.sha256(package.content("eu-west-1", key)).digest()).decode()
        )
    key = f"imds-enforcer/{version}/policy.zip"
    s3.put_object(Bucket=bucket, Key=key, Body=b"other", ChecksumAlgorithm="SHA256")
    ended = package(regions=["eu-west-1"], exit_code=1)
    assert f"s3://{bucket}/{key} is not what this run packaged" in ended.stderr


@pytest.mark.parametrize(
    ("version", "is_enough"),
    [
        ("1.18.69", False),
        ("1.34.1", False),
        ("1.34.2", True),
        ("1.45.55", True),
        ("2.0.0", False),
        ("2.9.23", False),
        ("2.17.33", False),
        ("2.17.34", True),
        ("2.36.7", True),
        ("3.0.0", True),
    ],
)
def test_an_aws_cli_that_knows_no_conditional_writes_is_refused(package, version, is_enough):
    package.play_aws()
    package.environment["CLI"] = f"aws-cli/{version} Python/3.9.11 Darwin/20.3.0"
    ended = package(exit_code=0 if is_enough else 2)
    if not is_enough:
        assert f"2.17.34 (of version 1: 1.34.2) or later is needed, and this is aws-cli/{version} " in ended.stderr
        assert (package.folder / "calls").read_text() == "--version\n"
    text = " ".join(package.run("--help").stdout.split())
    assert "AWS CLI 2.17.34 or later, or 1.34.2 or later of version 1" in text


def test_an_aws_cli_that_does_not_start_is_named(package):
    package.play_aws()
    package.environment["CLI"] = "cannot execute binary file"
    assert "and this is cannot execute binary file" in package(exit_code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "answers", "message"),
    [
        (
            ["--bucket-owner", "444455556666"],
            {},
            "is not of account 444455556666 (--bucket-owner): An error occurred (403)",
        ),
        ([], {"PLACE": "eu-central-1"}, "is in eu-central-1: Lambda in us-east-1 cannot read it"),
        ([], {"MISSING": "(403)"}, "cannot be read, which needs s3:GetObject and s3:ListBucket: "),
    ],
)
def test_a_bucket_that_does_not_serve_is_not_used(package, arguments, answers, message):
    package.play_aws()
    package.environment.update(answers)
    assert message in package(*arguments, exit_code=1).stderr
    assert not package.uploaded()


def test_every_call_to_a_bucket_names_its_owner_and_nothing_is_overwritten(package):
    package.play_aws()
    package()
    calls = (package.folder / "calls").read_text().splitlines()
    for call in calls:
        assert "s3api" not in call or f"--expected-bucket-owner {ACCOUNT}" in call, call
    puts = [call for call in calls if "put-object" in call]
    assert len(puts) == 5 and all("--if-none-match * --checksum-algorithm SHA256" in call for call in puts)


def test_the_template_s_address_names_its_region(package):
    package.play_aws()
    assert "--template-url https://bucket.s3.us-east-1.amazonaws.com/key " in package().stdout


def test_the_commands_that_it_prints_are_accepted(package, template):
    package.create_buckets()
    given = {"Mode": "enforce", "SweepSchedule": "cron(0 6 * * ? *)", "Ec2EndpointUrl": "https://a\"b\\c'd,e"}
    name = f"set-{uuid.uuid4().hex[:8]}"
    ended = package(
        *("--units", "ou-ab12-pilot000,ou-ab12-other000", "--stack-set-name", name, "--key", "imds/prod"),
        *(f"{key}={value}" for key, value in given.items()),
    )
    printed = commands(ended.stdout)
    create, instances, pilot, update, _ = printed
    for arguments in printed:
        assert ["--region", "us-east-1", "--call-as", "DELEGATED_ADMIN", "--stack-set-name", name] == arguments[2:8]
        # The AWS CLI's own check of parameters; it calls nothing.
        assert json.loads(package.aws(*arguments, "--generate-cli-skeleton", "output"))

    version = re.search("CodeVersion ([0-9a-f]{16})", ended.stdout)[1]
    code = {
        "CodeBucketPrefix": package.prefix,
        "CodeKey": "imds/prod",
        "CodeVersion": version,
        "Architecture": "x86_64",
    }
    assert parameters_of(create) == code | given
    kept = template["Parameters"].keys() - code.keys() - given.keys()
    assert len(kept) > 5
    assert parameters_of(update) == parameters_of(pilot) == code | given | dict.fromkeys(kept, True)
    assert "remove it from the commands" in ended.stdout
    assert all("--tags" not in arguments for arguments in printed)
    preferences = "RegionConcurrencyType=PARALLEL,MaxConcurrentPercentage=25,FailureTolerancePercentage=100"
    for arguments in (instances, pilot, update):
        assert option(arguments, "--operation-preferences") == preferences
    assert instances[instances.index("--regions") + 1 :][:2] == list(REGIONS)
    assert "OrganizationalUnitIds=ou-ab12-pilot000,ou-ab12-other000" in instances

    package.aws(*create)
    made = package.client("cloudformation").describe_stack_set(StackSetName=name)["StackSet"]
    assert made["PermissionModel"] == "SERVICE_MANAGED"
    assert made["TemplateBody"] == FILE.read_text()
    assert {p["ParameterKey"]: p["ParameterValue"] for p in made["Parameters"]} == code | given


def test_a_new_version_goes_to_a_pilot_before_it_goes_to_all(package):
    package.play_aws()
    text = package("--units", "ou-ab12-pilot000,ou-ab12-other000").stdout
    _, _, pilot, update, _ = commands(text)
    targets = pilot.index("--deployment-targets")
    assert pilot[targets : targets + 5] == [
        *("--deployment-targets", "OrganizationalUnitIds=PILOT_UNIT", "--regions", *REGIONS)
    ]
    # Except for the targets, both updates are the same.
    assert pilot[:targets] + pilot[targets + 5 :] == update
    first, second = (match.start() for match in re.finditer("^aws cloudformation update-stack-set", text, re.M))
    said = " ".join(text[first:second].replace("\n#", " ").split())
    assert "A function that cannot start does not fail its stack's update" in said
    assert "check the pilot's alarms" in said


def test_tags_are_those_of_the_stack_set(package):
    package.create_buckets()
    name = f"set-{uuid.uuid4().hex[:8]}"
    tags = {"owner": 'team\'s "A"', "cost-center": "a/b=c"}
    joined = ",".join(f"{key}={value}" for key, value in tags.items())
    ended = package("--stack-set-name", name, "--tags", joined, regions=["us-east-1"])
    create, instances, pilot, update, failed = commands(ended.stdout)
    expected = [{"Key": key, "Value": value} for key, value in tags.items()]
    for arguments in (create, pilot, update):
        assert json.loads(option(arguments, "--tags")) == expected
        assert json.loads(package.aws(*arguments, "--generate-cli-skeleton", "output"))
    assert "--tags" not in instances + failed
    package.aws(*create)
    made = package.client("cloudformation").describe_stack_set(StackSetName=name)["StackSet"]
    assert made["Tags"] == expected


def test_an_update_keeps_just_the_parameters_that_the_stack_set_has(package):
    """UsePreviousValue fails for a parameter that is new in this version."""
    package.create_buckets()
    name = f"set-{uuid.uuid4().hex[:8]}"
    cloudformation = package.client("cloudformation")
    had = {"CodeVersion": "v0", "Mode": "enforce", "ModifyRate": "9", "LeftByNow": "1"}
    cloudformation.create_stack_set(
        StackSetName=name,
        TemplateBody=json.dumps({"Parameters": {key: {"Type": "String"} for key in had}, "Resources": {}}),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in had.items()],
        PermissionModel="SERVICE_MANAGED",
        AutoDeployment={"Enabled": True, "RetainStacksOnAccountRemoval": False},
    )
    ended = package("--stack-set-name", name, "LogRetentionDays=30", regions=["us-east-1"])
    _, _, pilot, update, _ = commands(ended.stdout)
    given = parameters_of(update)
    assert parameters_of(pilot) == given
    kept = {key for key, value in given.items() if value is True}
    assert kept == {"Mode", "ModifyRate"}
    assert given["LogRetentionDays"] == "30"
    assert "remove it from the commands" not in ended.stdout


@pytest.mark.parametrize(
    ("described", "kept"),
    [("CodeKey\\tMode\\tModifyRate", {"Mode", "ModifyRate"}), ("None", set()), ("", None)],
)
def test_a_stack_set_is_described_as_who_is_given(package, template, described, kept):
    package.play_aws()
    package.environment["STACK_SET"] = described
    ended = package("--call-as", "SELF", "--stack-set-name", "set-1")
    assert ended.stderr.count("An error occurred") == 0
    (call,) = [c for c in (package.folder / "calls").read_text().splitlines() if "describe-stack-set" in c]
    assert "--region us-east-1 --call-as SELF --stack-set-name set-1" in call
    _, _, _, update, _ = commands(ended.stdout)
    if kept is None:
        kept = template["Parameters"].keys() - {"CodeBucketPrefix", "CodeKey", "CodeVersion", "Architecture"}
    assert {key for key, value in parameters_of(update).items() if value is True} == kept


def test_a_policy_is_checked_where_imdsctl_is_there(package):
    package.play_aws()
    package.write(package.policy / "policy.json", b'{"baseline": {"HttpTokens": "sometimes"}}')
    package()
    package.on_path("imdsctl", program("IMDSCTL_BIN", "the built imdsctl"))
    assert "the policy is not valid" in package(exit_code=1).stderr
    package.write(package.policy / "policy.json", package.sources["policy.json"])
    package()


def test_a_build_that_lambda_would_not_start_is_refused(package):
    ended = package("--architecture", "arm64", exit_code=1)
    assert "bootstrap is not built for arm64" in ended.stderr
    (package.build / "Enforcer" / "bootstrap").chmod(0o644)
    assert "run sam build" in package(exit_code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "BUCKET_PREFIX and REGION are required"),
        (["code"], "BUCKET_PREFIX and REGION are required"),
        (["Code", "us-east-1"], "BUCKET_PREFIX is not valid: Code"),
        (["code", "us-east-1,"], "REGION is not valid"),
        (["code", "virginia"], "REGION is not valid"),
        (["code", "us-east-1", "Mode"], "PARAMETER=VALUE is not valid: Mode"),
        (["code", "us-east-1", "OrganizationId=o-1"], "has no parameter OrganizationId"),
        (["code", "us-east-1", "CodeVersion=1"], "CodeVersion is set by an option, or given twice"),
        (["code", "us-east-1", "Mode=enforce", "Mode=dry-run"], "Mode is set by an option, or given twice"),
        (["code", "us-east-1", "--architecture", "riscv"], "--architecture is not valid: riscv"),
        (["code", "us-east-1", "--units", "pilot"], "--units is not valid"),
        (["code", "us-east-1", "--call-as", "ROOT"], "--call-as is not valid"),
        (["code", "us-east-1", "--bucket-owner", "1"], "--bucket-owner is not valid"),
        (["code", "us-east-1", "--key"], "--key needs a value"),
        (["code", "us-east-1", "--key", "/x"], "--key is not valid"),
        (["code", "us-east-1", "--stack-set-name", "1"], "--stack-set-name is not valid"),
        (["code", "us-east-1", "--tags", "owner"], "--tags is not valid"),
        (["code", "us-east-1", "--tags", "=a"], "--tags is not valid"),
        (["code", "us-east-1", "--tags", "a=b,"], "--tags is not valid"),
        (["code", "us-east-1", "--tags", "a="], "--tags is not valid"),
        (["code", "us-east-1", "--tags", "a=b\nc"], "--tags is not valid"),
        (["code", "us-east-1", "--force"], "unknown option --force"),
    ],
)
def test_wrong_arguments_are_named(package, arguments, message):
    ended = package.run(*arguments)
    assert ended.returncode == 2 and message in ended.stderr, ended.stderr
    assert ended.stdout == ""


def test_the_help_names_each_option_and_the_bucket_policy(package):
    ended = package.run("--help")
    assert ended.returncode == 0 and ended.stderr == ""
    options = re.findall(
        "--[a-z-]+", re.search("^        (--units.*)\\)$", (ROOT / "stackset/package").read_text(), re.M)[1]
    )
    assert len(options) == 9
    for option in options:
        assert f"  {option} " in ended.stdout, option
    policy = json.loads(re.search(r"^    (\{.*^    \})$", ended.stdout, re.S | re.M)[1])
    sids = ["OrganizationReads", "NoVersionIsOverwritten", "NoVersionIsRemovedOrReplicated"]
    assert [s["Sid"] for s in policy["Statement"]] == sids
