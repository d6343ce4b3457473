"""ec2-sim answers what a fleet is asked, seen through boto3: Regions, organizations, launch templates, defaults."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from conftest import ec2_client
from ec2_words import refusal
from processes import ACCOUNT, REGION

MEMBER = "444455556666"
PROD = "ou-exam-11111111"
WEB = "ou-exam-22222222"
TEMPLATE = "lt-0123456789abcdef0"
IMAGE = "ami-0123456789abcdef0"


def client(sim, service: str, access_key: str = ACCOUNT, **config):
    config = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 15} | config
    return boto3.Session().client(
        service,
        endpoint_url=sim.url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key="secret",
        config=Config(**config),
    )


def numbered(number: int) -> str:
    return f"2222{number:08}"


@pytest.fixture
def organization(sim):
    """A client in the management account: two accounts in the root, 41 in an OU, and a closed one below it."""
    below = {"id": WEB, "name": "Web", "accounts": [{"id": numbered(99), "state": "CLOSED"}]}
    accounts = [{"id": numbered(number)} for number in range(41)]
    prod = {"id": PROD, "name": "Prod", "accounts": accounts, "organizationalUnits": [below]}
    root = {"accounts": [{"id": ACCOUNT, "name": "Management"}, {"id": MEMBER}], "organizationalUnits": [prod]}
    body = {"managementAccount": ACCOUNT, "delegatedAdministrators": [numbered(0)], "root": root}
    sim.control("POST", "organization", body)
    return client(sim, "organizations")


# ---- STS ----


def test_callers_learn_who_they_are(sim):
    sts = client(sim, "sts")
    seen = sts.get_caller_identity()
    assert (seen["Account"], seen["Arn"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/someone")
    role = f"arn:aws:iam::{MEMBER}:role/Audit"
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="imdsctl")
    seen = client(sim, "sts", assumed["Credentials"]["AccessKeyId"]).get_caller_identity()
    user = assumed["AssumedRoleUser"]
    assert (seen["Account"], seen["Arn"], seen["UserId"]) == (MEMBER, user["Arn"], user["AssumedRoleId"])
    (call,) = [call for call in sim.calls("GetCallerIdentity") if call["account"] == MEMBER]
    assert (call["role"], call["sessionName"], call["status"]) == (role, "imdsctl", 200)
    sim.fault(action="GetCallerIdentity", kind="throttle")
    with refusal("Throttling", 400):
        sts.get_caller_identity()


# ---- Regions ----


def regions(ec2, **parameters) -> dict[str, str]:
    """The opt-in statuses of Regions by name."""
    found = ec2.describe_regions(**parameters)["Regions"]
    assert all(region["Endpoint"] == f"ec2.{region['RegionName']}.amazonaws.com" for region in found)
    return {region["RegionName"]: region["OptInStatus"] for region in found}


def test_regions_that_are_on_are_described(sim, ec2):
    on = regions(ec2)
    assert {"us-east-1", "us-west-2", "eu-central-1", "ap-southeast-1"} <= on.keys()
    assert set(on.values()) == {"opt-in-not-required"}
    every = regions(ec2, AllRegions=True)
    assert every["me-south-1"] == "not-opted-in" and "me-south-1" not in on
    sim.control("POST", "regions", {"account": ACCOUNT, "regions": ["us-east-1", "ap-east-1"]})
    assert regions(ec2) == {"ap-east-1": "opted-in", "us-east-1": "opt-in-not-required"}
    opted_in = [{"Name": "opt-in-status", "Values": ["opted-in"]}]
    assert regions(ec2, AllRegions=True, Filters=opted_in) == {"ap-east-1": "opted-in"}
    assert regions(ec2, RegionNames=["me-south-1"]) == {"me-south-1": "not-opted-in"}
    with refusal("InvalidParameterValue", 400):
        ec2.describe_regions(RegionNames=["us-east-9"])
    with refusal("AuthFailure", 401):
        ec2_client(sim.url, region="eu-west-1").describe_instances()
    assert ec2_client(sim.url, region="ap-east-1").describe_instances()["Reservations"] == []
    assert ec2_client(sim.url, MEMBER, "eu-west-1").describe_instances()["Reservations"] == []


# ---- Organizations ----


def test_an_organization_is_listed_page_by_page(sim, organization):
    pages = list(organization.get_paginator("list_accounts").paginate())
    assert [len(page["Accounts"]) for page in pages] == [20, 20, 4]
    accounts = {account["Id"]: account for page in pages for account in page["Accounts"]}
    assert len(accounts) == 44
    assert accounts[ACCOUNT]["Name"] == "Management"
    assert accounts[MEMBER]["Arn"] == f"arn:aws:organizations::{ACCOUNT}:account/o-exampleorg/{MEMBER}"
    assert (accounts[MEMBER]["State"], accounts[MEMBER]["Status"]) == ("ACTIVE", "ACTIVE")
    assert (accounts[numbered(99)]["State"], accounts[numbered(99)]["Status"]) == ("CLOSED", "SUSPENDED")
    assert accounts[MEMBER]["JoinedTimestamp"].year == 2026
    (root,) = organization.list_roots()["Roots"]
    (prod,) = organization.list_organizational_units_for_parent(ParentId=root["Id"])["OrganizationalUnits"]
    assert (prod["Id"], prod["Name"]) == (PROD, "Prod")
    pages = organization.get_paginator("list_accounts_for_parent").paginate(ParentId=PROD)
    assert [len(page["Accounts"]) for page in pages] == [20, 20, 1]
    assert organization.describe_organization()["Organization"]["MasterAccountId"] == ACCOUNT
    tokens = [call["parameters"].get("NextToken") for call in sim.calls("ListAccountsForParent")]
    assert tokens == [None, "sim-20", "sim-40"]


def test_organizations_refuses_as_aws_does(sim, organization):
    for account, code in [(MEMBER, "AccessDeniedException"), ("999988887777", "AWSOrganizationsNotInUseException")]:
        with refusal(code, 400, account):
            client(sim, "organizations", account).list_accounts()
    assert client(sim, "organizations", numbered(0)).list_accounts()["Accounts"], "a delegated administrator"
    with pytest.raises(organization.exceptions.ParentNotFoundException):
        organization.list_accounts_for_parent(ParentId="ou-exam-99999999")
    with refusal("InvalidInputException", 400):
        client(sim, "organizations", parameter_validation=False).list_accounts(MaxResults=21)
    sim.fault(action="ListAccounts", kind="throttle", when={"times": 1})
    with pytest.raises(organization.exceptions.TooManyRequestsException):
        organization.list_accounts()
    sim.fault(action="ListAccounts", kind="server-error", when={"times": 1})
    with refusal("ServiceException", 500):
        organization.list_accounts()
    sim.fault(action="ListAccounts", kind="throttle", when={"times": 2})
    retrying = client(sim, "organizations", retries={"total_max_attempts": 3, "mode": "standard"})
    assert len(retrying.list_accounts()["Accounts"]) == 20, "a client that retries sees no throttle"


# ---- Launch templates and images ----


@pytest.fixture
def template(sim):
    versions = [{}, {"options": {"HttpTokens": "optional", "HttpPutResponseHopLimit": "2"}}, {"image": IMAGE}]
    sim.control(
        "POST",
        "launch-templates",
        {"region": REGION, "id": TEMPLATE, "name": "web", "defaultVersion": 2, "versions": versions},
    )


def versions(ec2, **parameters) -> list[int]:
    found = ec2.describe_launch_template_versions(**parameters)["LaunchTemplateVersions"]
    return [version["VersionNumber"] for version in found]


def test_versions_of_launch_templates_are_described(sim, ec2, template):
    newest, default, oldest = ec2.describe_launch_template_versions(LaunchTemplateId=TEMPLATE)["LaunchTemplateVersions"]
    assert newest["LaunchTemplateData"] == {"ImageId": IMAGE}
    assert default["LaunchTemplateData"]["MetadataOptions"] == {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}
    assert (default["DefaultVersion"], oldest["DefaultVersion"]) == (True, False)
    assert (oldest["LaunchTemplateData"], oldest["LaunchTemplateName"]) == ({}, "web")
    for asked, expected in [(["$Latest"], [3]), (["$Default"], [2]), (["1"], [1]), (["1", "$Latest"], [3, 1])]:
        assert versions(ec2, LaunchTemplateName="web", Versions=asked) == expected, asked
    assert versions(ec2, LaunchTemplateId=TEMPLATE, MinVersion="2", MaxVersion="$Latest") == [3, 2]
    assert versions(ec2, Versions=["$Default"]) == [2], "of all templates"
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateId=TEMPLATE, PaginationConfig={"PageSize": 2}
    )
    assert [len(page["LaunchTemplateVersions"]) for page in pages] == [2, 1]
    for code, parameters in [
        ("InvalidLaunchTemplateId.NotFound", {"LaunchTemplateId": "lt-0fffffffffffffff0"}),
        ("InvalidLaunchTemplateId.Malformed", {"LaunchTemplateId": "web"}),
        ("InvalidLaunchTemplateName.NotFoundException", {"LaunchTemplateName": "batch"}),
        ("InvalidLaunchTemplateId.VersionNotFound", {"LaunchTemplateId": TEMPLATE, "Versions": ["1", "4"]}),
        ("MissingParameter", {"Versions": ["1"]}),
    ]:
        with refusal(code, 400, str(parameters)):
            ec2.describe_launch_template_versions(**parameters)
    with refusal("InvalidLaunchTemplateId.NotFound", 400, "another Region"):
        ec2_client(sim.url, region="eu-west-1").describe_launch_template_versions(LaunchTemplateId=TEMPLATE)
    sim.fault(action="DescribeLaunchTemplateVersions", parameter=["LaunchTemplateId", TEMPLATE], kind="deny")
    with refusal("UnauthorizedOperation", 403):
        versions(ec2, LaunchTemplateId=TEMPLATE)
    assert versions(ec2, LaunchTemplateName="web", Versions=["1"]) == [1], "another parameter"


def test_images_are_described(sim, ec2):
    amazon = {"id": "ami-0a0a0a0a", "owner": "137112412989", "imdsSupport": "v2.0", "name": "al2023"}
    for image in [{"id": IMAGE}, amazon]:
        sim.control("POST", "images", {"region": REGION} | image)
    old, new = ec2.describe_images(ImageIds=[IMAGE, "ami-0a0a0a0a"])["Images"]
    assert (old["ImageId"], old["OwnerId"], "ImdsSupport" in old) == (IMAGE, ACCOUNT, False)
    assert (new["ImageId"], new["OwnerId"], new["ImdsSupport"]) == ("ami-0a0a0a0a", "137112412989", "v2.0")
    assert new["Name"] == "al2023"
    assert [image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]] == [IMAGE]
    pages = ec2.get_paginator("describe_images").paginate(PaginationConfig={"PageSize": 1})
    assert [len(page["Images"]) for page in pages] == [1, 1]
    with refusal("InvalidAMIID.NotFound", 400):
        ec2.describe_images(ImageIds=[IMAGE, "ami-12345678"])
    with refusal("InvalidAMIID.Malformed", 400):
        ec2.describe_images(ImageIds=["image"])
    with refusal("InvalidAMIID.NotFound", 400):
        ec2_client(sim.url, MEMBER).describe_images(ImageIds=[IMAGE])


# ---- Defaults ----


def test_a_declarative_policy_manages_the_defaults(sim, ec2):
    ec2.modify_instance_metadata_defaults(HttpTokens="optional")
    assert ec2.get_instance_metadata_defaults()["AccountLevel"] == {"HttpTokens": "optional", "ManagedBy": "account"}
    managed = {"defaults": {"HttpTokens": "required"}, "managedExceptionMessage": "Ask the platform team."}
    sim.control("POST", "defaults", {"region": REGION} | managed)
    expected = {
        "HttpTokens": "required",
        "ManagedBy": "declarative-policy",
        "ManagedExceptionMessage": "Ask the platform team.",
    }
    assert ec2.get_instance_metadata_defaults()["AccountLevel"] == expected
    for dry_run in (False, True):
        with pytest.raises(ClientError) as refused:
            ec2.modify_instance_metadata_defaults(HttpTokens="optional", DryRun=dry_run)
        assert "Ask the platform team." in str(refused.value), dry_run
    assert ec2.get_instance_metadata_defaults()["AccountLevel"] == expected
    ec2_client(sim.url, region="eu-west-1").modify_instance_metadata_defaults(HttpTokens="required")
    sim.control("POST", "defaults", {"region": REGION})
    ec2.modify_instance_metadata_defaults(HttpTokens="no-preference")
    assert ec2.get_instance_metadata_defaults()["AccountLevel"] == {}


# ---- Large fleets ----


def test_one_control_adds_instances_to_many_accounts(sim):
    accounts, places = [numbered(number) for number in range(10)], ["us-east-1", "eu-west-1"]
    tags = {"aws:autoscaling:groupName": "web", "App": "shop"}
    body = [
        {"account": account, "region": region, "count": 100, "firstRan": 7776000, "tags": tags}
        for account in accounts
        for region in places
    ]
    added = sim.control("POST", "instances", body)
    assert [len(launch["instanceIds"]) for launch in added] == [100] * 20
    member = ec2_client(sim.url, accounts[3], "eu-west-1")
    filters = [{"Name": "tag:aws:autoscaling:groupName", "Values": ["web"]}]
    describe = member.get_paginator("describe_instances")
    pages = list(describe.paginate(Filters=filters, PaginationConfig={"PageSize": 60}))
    found = [i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]]
    assert found == added[7]["instanceIds"] and len(pages) == 2
