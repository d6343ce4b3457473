"""imdsctl audit: profiles, credentials that expire in the middle, and sessions in member accounts that are renewed."""

import hashlib
import json
import time

import boto3
import pytest
from audits import NO_KEYS, NO_REGION, ROLE, accounts, add, calls, document, member, without
from fleet import imdsctl, started
from processes import ACCOUNT, REGION, Ec2Sim, until

RENEW = "the credentials have expired: renew the credentials and run the command again"
EXPIRED = {"error": {"code": "ExpiredToken", "status": 403, "message": "The security token is expired"}}
MEMBERS = [member(number) for number in range(60)]
# Two accounts and Regions more than this are not read at once.
AT_ONCE = 32
CONFIG = f"""[profile keys]
region = eu-west-1
aws_access_key_id = {MEMBERS[1]}
aws_secret_access_key = secret
[profile role]
role_arn = arn:aws:iam::{MEMBERS[2]}:role/Audit
source_profile = keys
region = us-west-2
[profile process]
region = us-east-1
credential_process = /bin/cat PRINTED
[profile failing]
region = us-east-1
credential_process = /bin/false
[profile sso]
region = us-east-1
sso_session = corp
sso_account_id = {ACCOUNT}
sso_role_name = Audit
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.example/start
sso_registration_scopes = sso:account:access
"""


@pytest.fixture
def sim(start) -> Ec2Sim:
    return start(Ec2Sim)


@pytest.fixture
def home(tmp_path) -> dict[str, str]:
    """The variables of somebody who has profiles, with a token of single sign-on that has expired."""
    printed = {"Version": 1, "AccessKeyId": MEMBERS[3], "SecretAccessKey": "secret", "SessionToken": "token"}
    (tmp_path / "printed").write_text(json.dumps(printed))
    (tmp_path / "config").write_text(CONFIG.replace("PRINTED", str(tmp_path / "printed")))
    (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id={MEMBERS[4]}\naws_secret_access_key=secret\n")
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {"startUrl": "https://corp.example/start", "region": REGION, "accessToken": "token"}
    token["expiresAt"] = "2020-01-01T00:00:00Z"
    (cache / f"{hashlib.sha1(b'corp').hexdigest()}.json").write_text(json.dumps(token))
    files = {"AWS_CONFIG_FILE": tmp_path / "config", "AWS_SHARED_CREDENTIALS_FILE": tmp_path / "credentials"}
    return {name: str(file) for name, file in files.items()} | {"HOME": str(tmp_path)}


def session(sim) -> dict[str, str]:
    """The variables of a session of AssumeRole in the own account."""
    keys = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "secret"}
    sts = boto3.Session().client("sts", endpoint_url=sim.url, region_name=REGION, **keys)
    role = f"arn:aws:iam::{ACCOUNT}:role/operator"
    found = sts.assume_role(RoleArn=role, RoleSessionName="operator")["Credentials"]
    token = {"AWS_SESSION_TOKEN": found["SessionToken"], "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"]}
    return token | {"AWS_ACCESS_KEY_ID": found["AccessKeyId"]}


# ---- Profiles ----


@pytest.mark.parametrize(
    ("profile", "account", "region"),
    [
        ("keys", MEMBERS[1], "eu-west-1"),
        ("role", MEMBERS[2], "us-west-2"),
        ("process", MEMBERS[3], "us-east-1"),
        ("default", MEMBERS[4], "us-east-1"),
    ],
)
def test_a_profile_gives_credentials_and_region(sim, home, profile, account, region):
    add(sim, 3, account, region, tokens="required")
    names = NO_KEYS | NO_REGION if profile != "default" else NO_KEYS
    ended = without(names, sim, "audit", AWS_PROFILE=profile, **home)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "3 of 3 instances are as required." in ended.stdout
    assert [call["account"] for call in sim.calls("DescribeInstances")] == [account]


@pytest.mark.parametrize(
    ("profile", "cause"),
    [
        ("sso", "the SSO token has expired"),
        ("failing", "external process exited"),
        ("missing", "profile `missing` was not defined"),
    ],
)
def test_a_profile_without_usable_credentials_says_what_to_do(sim, home, profile, cause):
    began = time.monotonic()
    ended = without(NO_KEYS, sim, "audit", AWS_PROFILE=profile, **home)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert cause in ended.stderr, ended.stderr
    assert "no usable AWS credentials" in ended.stderr and "aws sso login" in ended.stderr
    assert sim.calls() == [] and time.monotonic() - began < 5


def test_credentials_that_have_expired_at_the_start_are_told_as_such(sim):
    sim.fault(kind=EXPIRED, action="GetCallerIdentity", when="always")
    ended = imdsctl("audit", url=sim.url)
    assert ended.returncode == 2
    assert "renew the credentials and run the command again" in ended.stderr and "ExpiredToken" in ended.stderr


# ---- Credentials that expire in the middle ----


def test_a_session_that_expires_ends_the_audit(start, tmp_path):
    sim = start(Ec2Sim, "--session-duration", "2000")
    add(sim, 4000, tokens="required")
    variables = session(sim)
    sim.fault(kind={"delay": 900}, action="DescribeInstances", when="always")
    sim.forget_calls()
    file = tmp_path / "audit.json"
    ended = imdsctl("audit", "--format", "json", "--output", file, url=sim.url, **variables)
    assert ended.returncode == 2 and RENEW in ended.stderr, ended.stderr
    audit = json.loads(file.read_text())
    assert audit["complete"] is False and RENEW in audit["errors"]
    assert 0 < len(audit["instances"]) < 4000, "what was read before is in the report"
    refused = [call["action"] for call in sim.calls() if call["status"] != 200]
    assert refused == ["DescribeInstances"], "one call found it out, and none came after"
    variables = session(sim)
    table = imdsctl("audit", url=sim.url, **variables)
    assert "The audit is incomplete." in table.stdout and f"error: {RENEW}" in table.stdout.replace("\n    ", " ")


def test_a_report_that_is_incomplete_says_so_in_each_format(sim, tmp_path):
    sim.fault(kind=EXPIRED, action="DescribeInstances", when="always")
    html = imdsctl("audit", "--format", "html", url=sim.url)
    assert html.returncode == 2 and "incomplete" in html.stdout and RENEW in html.stdout
    csv = imdsctl("audit", "--format", "csv", url=sim.url)
    assert csv.returncode == 2 and RENEW in csv.stderr
    file = tmp_path / "plan.json"
    plan = imdsctl("plan", "--output", file, url=sim.url)
    assert plan.returncode == 2 and RENEW in plan.stdout
    written = json.loads(file.read_text())
    assert (written["complete"], written["changes"]) == (False, []) and RENEW in written["errors"]


def test_accounts_that_wait_are_not_asked_after_the_credentials_have_expired(sim):
    sim.fault(kind=EXPIRED, action="AssumeRole", when="always")
    audit = document(sim, *accounts(*MEMBERS), *ROLE, exits=2)
    assert calls(sim)["AssumeRole"] <= AT_ONCE and calls(sim)["DescribeInstances"] == 0
    assert RENEW in audit["errors"]
    unread = [error for error in audit["errors"] if error != RENEW]
    assert sorted(error.split()[0] for error in unread) == MEMBERS, "each account that was not read is named"


def test_regions_are_not_listed_after_the_credentials_have_expired(sim):
    sim.fault(kind=EXPIRED, action="AssumeRole", when="always")
    audit = document(sim, "--all-regions", *accounts(*MEMBERS), *ROLE, exits=2)
    assert RENEW in audit["errors"]
    assert calls(sim)["AssumeRole"] <= AT_ONCE


def test_an_account_that_is_being_read_is_left_after_the_credentials_have_expired(sim):
    long, expired = MEMBERS[:2]
    add(sim, 4000, long, tokens="required")
    sim.fault(kind={"delay": 500}, action="DescribeInstances", when="always")
    sim.fault(kind=EXPIRED, action="AssumeRole", account=expired, when="always")
    audit = document(sim, *accounts(long, expired), *ROLE, exits=2)
    assert RENEW in audit["errors"] and any(error.startswith(f"{long} {REGION}") for error in audit["errors"])
    assert calls(sim)["DescribeInstances"] <= 3, "the calls in flight, and no more"


@pytest.mark.parametrize("code", ["RequestExpired", "ExpiredToken"])
def test_a_member_session_that_is_refused_is_not_the_caller_s(sim, code):
    add(sim, 2, tokens="required")
    kind = {"error": {"code": code, "status": 400, "message": "expired"}}
    sim.fault(kind=kind, action="DescribeInstances", account=MEMBERS[0], when="always")
    audit = document(sim, *accounts(ACCOUNT, MEMBERS[0]), *ROLE, exits=2)
    (error,) = audit["errors"]
    assert error.startswith(MEMBERS[0]) and len(audit["instances"]) == 2


# ---- Sessions in member accounts ----


def test_member_sessions_are_renewed_during_a_long_audit(start):
    sim = start(Ec2Sim, "--session-duration", "1600")
    add(sim, 3000, MEMBERS[0], tokens="required")
    sim.fault(kind={"delay": 700}, action="DescribeInstances", when="always")
    audit = document(sim, *accounts(MEMBERS[0]), *ROLE, exits=0)
    assert len(audit["instances"]) == 3000 and audit["complete"]
    assert calls(sim)["AssumeRole"] >= 2, "the session is shorter than the audit"
    assert all(call["status"] == 200 for call in sim.calls())
    assert {call["sessionName"] for call in sim.calls("DescribeInstances")} == {"imdsctl"}


def test_an_audit_that_is_interrupted_leaves_the_report_of_before(sim, tmp_path):
    add(sim, 3000, tokens="required")
    sim.fault(kind={"delay": 2000}, action="DescribeInstances", when="always")
    file = tmp_path / "audit.json"
    file.write_text("the report of before")
    process = started("audit", "--format", "json", "--output", file, url=sim.url)
    until("a call", lambda: sim.calls("DescribeInstances"))
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode != 0 and file.read_text() == "the report of before"
