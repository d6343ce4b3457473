"""Which parameters the template's rules accept: an invalid combination creates nothing."""

import json

import pytest
from botocore.exceptions import ClientError
from cfn import load
from cloud import Cloud

UNITS = "ou-ab12-11111111,ou-ab12-22222222"
HUB = {"OrganizationId": "o-abcdefghij", "TargetUnits": UNITS}
BOTH_OR_NEITHER = "Set OrganizationId and TargetUnits together"
ROLE_REGION = "must be one of MemberRegions"
NETWORK = {"SubnetIds": "subnet-0a,subnet-0b", "SecurityGroupIds": "sg-0c"}
ENDPOINT = {"Ec2EndpointUrl": "https://ec2.example.com"}
# The parameters that the standalone template has, too.
OF_ONE_ACCOUNT = [
    {},
    NETWORK,
    ENDPOINT,
    {"UseFipsEndpoints": "true"},
    {"UseDualStackEndpoints": "true", "UseFipsEndpoints": "true"} | NETWORK,
]
REFUSED_IN_ONE_ACCOUNT = [
    ({"SubnetIds": "subnet-0a"}, "Set SubnetIds and SecurityGroupIds together"),
    ({"SecurityGroupIds": "sg-0c"}, "Set SubnetIds and SecurityGroupIds together"),
    (NETWORK | {"SubnetIds": "subnet-0a,"}, "Set SubnetIds and SecurityGroupIds together"),
    (NETWORK | {"SecurityGroupIds": ",sg-0c"}, "Set SubnetIds and SecurityGroupIds together"),
    (NETWORK | {"SubnetIds": "vpc-0a"}, "SubnetIds"),
    (ENDPOINT | {"UseFipsEndpoints": "true"}, "Set Ec2EndpointUrl, or UseFipsEndpoints"),
    (ENDPOINT | {"UseDualStackEndpoints": "true"}, "Set Ec2EndpointUrl, or UseFipsEndpoints"),
]


def create(cloud: Cloud, parameters: dict[str, str], source: str = "TEMPLATE_JSON"):
    """Creates a stack with the template's parameters and rules, and next to nothing in it, in us-east-1."""
    template = {section: load(source)[section] for section in ("Parameters", "Mappings", "Rules")}
    template["Resources"] = {"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(
        StackName="parameters",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="parameters", WaiterConfig={"Delay": 1})
    cloudformation.delete_stack(StackName="parameters")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="parameters", WaiterConfig={"Delay": 1})


@pytest.mark.parametrize(
    "parameters",
    [
        *OF_ONE_ACCOUNT,
        HUB,
        {"OrganizationId": "o-abcdefghij", "TargetUnits": "r-ab12"},
        HUB | {"MemberRegions": "us-east-1,eu-west-1"},
        HUB | {"MemberRegions": "eu-west-1,ap-south-1", "RoleRegion": "eu-west-1"},
        HUB | {"RoleRegion": "us-east-1"},
    ],
)
def test_what_fits_together_is_created(cloud, parameters):
    create(cloud, parameters)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"OrganizationId": "o-abcdefghij"}, BOTH_OR_NEITHER),
        ({"TargetUnits": UNITS}, BOTH_OR_NEITHER),
        (HUB | {"MemberRegions": "eu-west-1,ap-south-1"}, ROLE_REGION),
        (HUB | {"MemberRegions": "us-east-1,eu-west-1", "RoleRegion": "ap-south-1"}, ROLE_REGION),
        (HUB | {"RoleRegion": "eu-west-1"}, ROLE_REGION),
        (HUB | {"TargetUnits": "ou-ab12-11111111,everything"}, "TargetUnits"),
        (HUB | {"TargetUnits": "ou-ab12-11111111,"}, BOTH_OR_NEITHER),
        (HUB | {"MemberRegions": "us-east-1,"}, "empty element"),
        (HUB | {"EnforcerConcurrency": "1"}, "EnforcerConcurrency"),
        (HUB | {"SweeperConcurrency": "1001"}, "SweeperConcurrency"),
        ({"HopLimitCeiling": "9"}, "HopLimitCeiling"),
        ({"IamPath": "platform"}, "IamPath"),
        ({"NamePrefix": "x" * 33}, "NamePrefix"),
        ({"MemberAlarmTopicArn": "alarms"}, "MemberAlarmTopicArn"),
        *REFUSED_IN_ONE_ACCOUNT,
    ],
)
def test_what_does_not_is_refused_with_the_reason(cloud, parameters, why):
    with pytest.raises(ClientError, match=why):
        create(cloud, parameters)


CODE = {"CodeBucketPrefix": "code", "CodeVersion": "1"}


@pytest.mark.parametrize("parameters", OF_ONE_ACCOUNT)
def test_the_standalone_template_accepts_what_fits_together(cloud, parameters):
    create(cloud, CODE | parameters, "STANDALONE_JSON")


@pytest.mark.parametrize(("parameters", "why"), REFUSED_IN_ONE_ACCOUNT)
def test_the_standalone_template_refuses_what_does_not(cloud, parameters, why):
    with pytest.raises(ClientError, match=why):
        create(cloud, CODE | parameters, "STANDALONE_JSON")
