"""imdsctl audit: which accounts and Regions are read, and what is said where one cannot be."""

import pytest
from audits import NO_KEYS, NO_REGION, ROLE, accounts, add, document, member, without
from fleet import imdsctl
from processes import ACCOUNT, REGION, Ec2Sim

ONE, TWO, THREE, FOUR = map(member, range(1, 5))
UNIT, BELOW = "ou-exam-11111111", "ou-exam-22222222"


@pytest.fixture
def sim(start) -> Ec2Sim:
    return start(Ec2Sim)


def read(audit: dict) -> set[tuple[str, str]]:
    return {(instance["account"], instance["region"]) for instance in audit["instances"]}


def asked(sim) -> set[tuple[str, str]]:
    """The accounts and Regions whose instances were asked for."""
    return {(call["account"], call["region"]) for call in sim.calls("DescribeInstances")}


def organization(sim):
    """Two accounts in the root, one in a unit, one in the unit below it, and those that are not active."""
    closed = [{"id": member(90), "state": "SUSPENDED"}, {"id": member(91), "state": "CLOSED"}]
    below = {"id": BELOW, "name": "Web", "accounts": [{"id": THREE}, {"id": member(92), "state": "PENDING_CLOSURE"}]}
    unit = {"id": UNIT, "name": "Prod", "accounts": [{"id": TWO}, *closed], "organizationalUnits": [below]}
    root = {"accounts": [{"id": ACCOUNT}, {"id": ONE}], "organizationalUnits": [unit]}
    sim.control("POST", "organization", {"managementAccount": ACCOUNT, "root": root})


def test_only_the_regions_that_are_named_are_asked(sim):
    for region in ("us-east-1", "eu-west-1", "us-west-2"):
        add(sim, region=region, tokens="required")
    document(sim, exits=0)
    assert asked(sim) == {(ACCOUNT, REGION)}
    sim.forget_calls()
    regions = ["--region", "eu-west-1", "--region", "us-west-2", "--region", "eu-west-1"]
    audit = document(sim, *regions, exits=0)
    assert asked(sim) == read(audit) == {(ACCOUNT, "eu-west-1"), (ACCOUNT, "us-west-2")}
    assert len(audit["instances"]) == 2, "a Region that is named twice is read once"


def test_all_regions_are_those_that_each_account_has_on(sim):
    sim.control("POST", "regions", {"account": ACCOUNT, "regions": ["us-east-1", "ap-east-1"]})
    sim.control("POST", "regions", {"account": ONE, "regions": ["us-east-1", "eu-south-1"]})
    document(sim, "--all-regions", *accounts(ACCOUNT, ONE), *ROLE, exits=0)
    expected = {(ACCOUNT, "ap-east-1"), (ONE, "eu-south-1"), (ACCOUNT, "us-east-1"), (ONE, "us-east-1")}
    assert asked(sim) == expected


def test_a_region_that_is_off_is_named_and_the_others_are_read(sim):
    sim.control("POST", "regions", {"account": ACCOUNT, "regions": ["us-east-1"]})
    add(sim, tokens="required")
    audit = document(sim, "--region", "us-east-1", "--region", "me-south-1", exits=2)
    assert (len(audit["instances"]), audit["complete"]) == (1, False)
    (error,) = audit["errors"]
    assert error.startswith(f"{ACCOUNT} me-south-1: the instances cannot be listed: ec2:DescribeInstances"), error


def test_an_organization_is_read_without_the_accounts_that_are_not_active(sim):
    organization(sim)
    document(sim, "--organization", *ROLE, exits=0)
    assert asked(sim) == {(account, REGION) for account in (ACCOUNT, ONE, TWO, THREE)}
    assert {call["parameters"]["RoleArn"] for call in sim.calls("AssumeRole")} == {
        f"arn:aws:iam::{account}:role/imds-enforcer-member" for account in (ONE, TWO, THREE)
    }, "no role is assumed in the own account"
    rows = [
        (["--ou", UNIT], {TWO, THREE}),
        (["--ou", BELOW, "--account", ONE, "--account", FOUR], {ONE, THREE, FOUR}),
        (["--ou", UNIT, "--ou", BELOW, "--exclude-account", TWO], {THREE}),
        (["--ou", "r-exam"], {ACCOUNT, ONE, TWO, THREE}),
        (["--organization", "--exclude-account", ONE, "--exclude-account", ACCOUNT], {TWO, THREE}),
        (["--organization", *(part for id in (ONE, TWO, THREE) for part in ("--exclude-account", id))], {ACCOUNT}),
    ]
    for arguments, expected in rows:
        sim.forget_calls()
        document(sim, *arguments, *ROLE, exits=0)
        assert {account for account, _ in asked(sim)} == expected, arguments


def test_an_account_that_cannot_be_read_does_not_stop_the_others(sim):
    for account in (ACCOUNT, ONE, TWO, THREE):
        add(sim, 2, account, tokens="required")
    sim.fault(kind="deny", action="AssumeRole", account=ONE, when="always")
    sim.fault(kind="deny", action="DescribeInstances", account=TWO, when="always")
    everything = [*accounts(ACCOUNT, ONE, TWO, THREE), *ROLE]
    audit = document(sim, *everything, exits=2)
    assert read(audit) == {(ACCOUNT, REGION), (THREE, REGION)}
    denied, unlisted = audit["errors"]
    assert denied.startswith(f"{ONE} {REGION}: the instances cannot be listed: sts:AssumeRole returned AccessDenied")
    assert f"arn:aws:iam::{ONE}:role/imds-enforcer-member" in denied
    assert unlisted.startswith(f"{TWO} {REGION}: the instances cannot be listed: ec2:DescribeInstances returned Unauth")
    table = imdsctl("audit", *everything, url=sim.url)
    shown = " ".join(table.stdout.split())
    assert (table.returncode, table.stderr) == (2, "")
    assert shown.endswith("4 of 4 instances are as required. The audit is incomplete.") and denied in shown
    every_region = document(sim, "--all-regions", *accounts(ACCOUNT, ONE), *ROLE, exits=2)
    (error,) = every_region["errors"]
    assert error.startswith(f"{ONE}: its Regions cannot be listed: sts:AssumeRole returned AccessDenied")
    assert len(every_region["instances"]) == 2


def test_what_cannot_be_audited_is_refused_with_what_to_do(sim):
    rows = [
        (accounts("222200000001"), "a role is missing: account 222200000001 is not that of the credentials"),
        (accounts("1"), '"1" is not an AWS account id (12 digits)'),
        (accounts("1111222233334"), "is not an AWS account id"),
        (["--exclude-account", "x"], "is not an AWS account id"),
        (["--region", "us east"], "is not a Region code such as us-east-1"),
        (["--region", ""], "is not a Region code such as us-east-1"),
        (["--region", "us-east-1", "--all-regions"], "cannot be used with"),
        (["--organization", *accounts(ONE)], "cannot be used with"),
        (["--organization", "--ou", UNIT], "cannot be used with"),
        (["--organization", *ROLE], "use the credentials of its management account or of a delegated administrator"),
        (["--ou", UNIT, *ROLE], "or name accounts with --account: organizations:ListAccountsForParent returned"),
        (["--exclude-account", ACCOUNT], "no account is left"),
        (["--role", "a b"], "--role must be the name of a role"),
        (["--usage-days", "91"], "0..=90"),
        (["--usage-days=-1"], "0..=90"),
        (["--format", "xml"], "table, json, csv, html"),
        (["--policy", "/nowhere"], "/nowhere cannot be read"),
    ]
    for arguments, message in rows:
        ended = imdsctl("audit", *arguments, url=sim.url)
        assert (ended.returncode, ended.stdout) == (2, ""), f"{arguments}: {ended.stdout}"
        assert message in ended.stderr, f"{arguments}: {ended.stderr}"
    assert asked(sim) == set()


def test_a_member_account_may_not_list_the_organization(sim):
    organization(sim)
    ended = imdsctl("audit", "--organization", *ROLE, url=sim.url, access_key=ONE)
    assert ended.returncode == 2
    assert "use the credentials of its management account" in ended.stderr, ended.stderr
    for code in ("ParentNotFoundException", "InvalidInputException"):
        unit = "ou-exam-99999999" if code.startswith("Parent") else "nope"
        ended = imdsctl("audit", "--ou", unit, *ROLE, url=sim.url)
        assert ended.returncode == 2 and code in ended.stderr, ended.stderr


def test_without_a_region_the_message_says_how_to_set_one(sim):
    ended = without(NO_REGION, sim, "audit")
    assert ended.returncode == 2
    assert "no Region is set: use --region REGION or --all-regions, or set AWS_REGION" in ended.stderr, ended.stderr


@pytest.mark.parametrize("flag", [["--region", "eu-west-1"], ["--all-regions"]])
def test_flags_are_enough_without_a_region_in_the_settings(sim, flag):
    organization(sim)
    add(sim, region="eu-west-1", tokens="required")
    for settings in ({}, {"AWS_REGION": ""}):
        ended = without(NO_REGION - settings.keys(), sim, "audit", *flag, "--organization", *ROLE, **settings)
        assert ended.returncode == 0 and "1 of 1 instances" in ended.stdout, ended.stderr


def test_a_policy_can_come_from_standard_input(sim):
    add(sim, options={"HttpPutResponseHopLimit": "5"}, tokens="required")
    text = '{"baseline": {"HttpPutResponseHopLimit": 1}}'
    ended = imdsctl("audit", "--policy", "-", url=sim.url, stdin=text)
    assert ended.returncode == 1 and "HttpPutResponseHopLimit: 5 -> 1" in ended.stdout, ended.stderr
    ended = imdsctl("audit", "--policy", "-", url=sim.url, stdin='{"baseline": {"HttpToken": 1}}')
    assert ended.returncode == 2 and "the policy is invalid" in ended.stderr, ended.stderr


def test_without_credentials_nothing_is_asked(sim):
    ended = without(NO_KEYS, sim, "audit")
    assert ended.returncode == 2 and "no usable AWS credentials: set AWS_PROFILE" in ended.stderr, ended.stderr
    assert sim.calls() == []
