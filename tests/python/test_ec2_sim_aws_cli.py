"""The AWS CLI against ec2-sim: the commands of a person, and what they answer."""

from ec2_words import IMAGE, NO_INSTANCE, found, instances, launch, options, running, wait_for_state
from processes import until

MODIFY = "modify-instance-metadata-options"


def run_instances(aws, *arguments: str) -> list[str]:
    answer = aws("run-instances", "--image-id", IMAGE, *arguments)
    return [instance["InstanceId"] for instance in answer["Instances"]]


def metadata_options(aws, instance_id: str) -> dict:
    return instances(aws("describe-instances", "--instance-ids", instance_id))[0]["MetadataOptions"]


def test_an_instance_goes_from_launch_to_imdsv2(aws):
    launch = (
        *("--count", "2", "--client-token", "once", "--metadata-options", "HttpTokens=optional,HttpEndpoint=enabled"),
        *("--tag-specifications", "ResourceType=instance,Tags=[{Key=App,Value=web}]"),
    )
    ids = run_instances(aws, *launch)
    assert len(ids) == 2
    assert run_instances(aws, *launch) == ids, "the token launches once"
    web = ("--filters", "Name=tag:App,Values=web", "Name=instance-state-name,Values=running")
    until("both running", lambda: len(instances(aws("describe-instances", *web))) == 2)
    answer = aws(MODIFY, "--instance-id", ids[0], "--http-tokens", "required")
    assert answer["InstanceMetadataOptions"]["State"] == "pending"
    assert answer["InstanceMetadataOptions"]["HttpTokens"] == "required"
    until("applied", lambda: metadata_options(aws, ids[0])["State"] == "applied")
    assert metadata_options(aws, ids[1])["HttpTokens"] == "optional"


def test_each_option_is_changed_alone(aws, ec2):
    (instance_id,) = running(ec2)
    rows = [
        (("--http-tokens", "required"), "HttpTokens", "required"),
        (("--http-put-response-hop-limit", "64"), "HttpPutResponseHopLimit", 64),
        (("--http-protocol-ipv6", "enabled"), "HttpProtocolIpv6", "enabled"),
        (("--instance-metadata-tags", "enabled"), "InstanceMetadataTags", "enabled"),
        (("--http-endpoint", "disabled"), "HttpEndpoint", "disabled"),
    ]
    expected = options(ec2, instance_id)
    for arguments, name, value in rows:
        aws(MODIFY, "--instance-id", instance_id, *arguments)
        expected[name] = value
        assert options(ec2, instance_id) == expected, name


def test_a_dry_run_is_permitted_or_denied(sim, aws, ec2):
    (instance_id,) = running(ec2)
    arguments = (MODIFY, "--instance-id", instance_id, "--http-tokens", "required", "--dry-run")
    assert aws.refused(*arguments) == "DryRunOperation"
    sim.fault(action="ModifyInstanceMetadataOptions", kind="deny")
    assert aws.refused(*arguments) == "UnauthorizedOperation"
    assert options(ec2, instance_id)["HttpTokens"] == "optional"


def test_errors_have_the_codes_of_ec2(aws, ec2):
    (fine, gone, tagged) = running(ec2, 3)
    ec2.terminate_instances(InstanceIds=[gone])
    wait_for_state(ec2, gone, "terminated")
    ec2.create_tags(Resources=[tagged], Tags=[{"Key": "a/b", "Value": ""}])
    ec2.modify_instance_metadata_defaults(HttpTokensEnforced="enabled")
    rows = [
        ((MODIFY, "--instance-id", NO_INSTANCE, "--http-tokens", "required"), "InvalidInstanceID.NotFound"),
        ((MODIFY, "--instance-id", "i-xyz", "--http-tokens", "required"), "InvalidInstanceID.Malformed"),
        ((MODIFY, "--instance-id", fine, "--http-tokens", "never"), "InvalidParameterValue"),
        ((MODIFY, "--instance-id", fine, "--http-put-response-hop-limit", "65"), "InvalidParameterValue"),
        ((MODIFY, "--instance-id", gone, "--http-tokens", "required"), "IncorrectInstanceState"),
        ((MODIFY, "--instance-id", tagged, "--instance-metadata-tags", "enabled"), "InvalidParameterValue"),
        ((MODIFY, "--instance-id", fine, "--http-tokens", "optional"), "UnsupportedOperation"),
        (("describe-instances", "--instance-ids", NO_INSTANCE), "InvalidInstanceID.NotFound"),
        (("start-instances", "--instance-ids", gone), "IncorrectInstanceState"),
        (("describe-vpcs",), "InvalidAction"),
    ]
    for arguments, code in rows:
        assert aws.refused(*arguments) == code, arguments


def test_a_stopped_instance_takes_its_change_at_start(aws, ec2):
    (instance_id,) = running(ec2)
    aws("stop-instances", "--instance-ids", instance_id)
    wait_for_state(ec2, instance_id, "stopped")
    aws(MODIFY, "--instance-id", instance_id, "--http-tokens", "required")
    assert metadata_options(aws, instance_id)["State"] == "pending"
    aws("start-instances", "--instance-ids", instance_id)
    until("applied", lambda: metadata_options(aws, instance_id)["State"] == "applied")
    assert metadata_options(aws, instance_id)["HttpTokens"] == "required"


def test_pages(aws, ec2):
    ids = launch(ec2, 12)
    answer = aws("describe-instances", "--page-size", "5")
    assert sorted(instance["InstanceId"] for instance in instances(answer)) == sorted(ids)
    first = aws("describe-instances", "--max-results", "5")
    assert len(instances(first)) == 5
    rest = aws("describe-instances", "--max-results", "1000", "--next-token", first["NextToken"])
    assert sorted(instance["InstanceId"] for instance in instances(first) + instances(rest)) == sorted(ids)


def test_account_defaults(aws):
    aws("modify-instance-metadata-defaults", "--http-tokens", "required", "--http-put-response-hop-limit", "2")
    shown = aws("get-instance-metadata-defaults")["AccountLevel"]
    assert (shown["HttpTokens"], shown["HttpPutResponseHopLimit"]) == ("required", 2)
    (instance_id,) = run_instances(aws)
    assert metadata_options(aws, instance_id)["HttpTokens"] == "required"


def test_tags(aws, ec2):
    (instance_id,) = launch(ec2)
    aws("create-tags", "--resources", instance_id, "--tags", "Key=App,Value=web", "Key=Team,Value=a")
    aws("delete-tags", "--resources", instance_id, "--tags", "Key=Team")
    assert found(ec2, tag__App="web") == {instance_id}
    assert found(ec2, tag_key="Team") == set()
