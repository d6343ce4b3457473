"""ec2-sim behaves as the EC2 API reference says, seen through boto3."""

import time

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from conftest import ec2_client
from ec2_words import (
    IMAGE,
    NO_INSTANCE,
    OPTIONS,
    describe,
    found,
    instances,
    launch,
    options,
    options_state,
    refusal,
    running,
    wait_for_applied,
    wait_for_state,
)
from processes import REGION, Ec2Sim

DEFAULTS = {
    "HttpTokens": "optional",
    "HttpEndpoint": "enabled",
    "HttpPutResponseHopLimit": 1,
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}
# The options that can differ while the endpoint is enabled.
OTHERS = {
    "HttpTokens": "required",
    "HttpEndpoint": "enabled",
    "HttpPutResponseHopLimit": 64,
    "HttpProtocolIpv6": "enabled",
    "InstanceMetadataTags": "enabled",
}


@pytest.fixture
def loose(sim):
    """A client that sends what it is given, right or wrong."""
    return ec2_client(sim.url, parameter_validation=False)


def deny(sim, action: str):
    sim.fault(action=action, kind="deny")


# ---- ModifyInstanceMetadataOptions ----


OFF = {"HttpEndpoint": "disabled"}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_that_are_not_sent_keep_their_state(ec2, name):
    rows = [(DEFAULTS, OTHERS), (OTHERS, DEFAULTS)]
    if name == "HttpEndpoint":
        rows = [(DEFAULTS, OFF), (OTHERS, OFF), (DEFAULTS | OFF, DEFAULTS), (OTHERS | OFF, DEFAULTS)]
    for before, after in rows:
        (instance_id,) = running(ec2, options=before)
        answer = ec2.modify_instance_metadata_options(InstanceId=instance_id, **{name: after[name]})
        assert answer["InstanceId"] == instance_id
        expected = before | {name: after[name]}
        answered = answer["InstanceMetadataOptions"]
        assert {option: answered[option] for option in OPTIONS} == expected
        assert options(ec2, instance_id) == expected


def test_a_disabled_endpoint_takes_other_options_only_as_it_is_enabled(ec2):
    (instance_id,) = running(ec2, options=OFF)
    with refusal("InvalidParameterCombination", 400):
        ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    assert options(ec2, instance_id) == DEFAULTS | OFF
    ec2.modify_instance_metadata_options(InstanceId=instance_id, **OTHERS)
    assert options(ec2, instance_id) == OTHERS


def test_a_change_to_a_running_instance_is_pending_then_applied(ec2):
    (instance_id,) = running(ec2)
    answer = ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    assert answer["InstanceMetadataOptions"]["State"] == "pending"
    assert options_state(ec2, instance_id) == "pending"
    wait_for_applied(ec2, instance_id)
    assert options(ec2, instance_id) == DEFAULTS | {"HttpTokens": "required"}


def test_a_change_to_a_stopped_instance_is_applied_when_it_is_started(ec2):
    (instance_id,) = running(ec2)
    ec2.stop_instances(InstanceIds=[instance_id])
    wait_for_state(ec2, instance_id, "stopped")
    answer = ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    assert answer["InstanceMetadataOptions"]["State"] == "pending"
    # Longer than a running instance takes.
    for _ in range(10):
        assert options_state(ec2, instance_id) == "pending"
        time.sleep(0.1)
    ec2.start_instances(InstanceIds=[instance_id])
    wait_for_state(ec2, instance_id, "running")
    wait_for_applied(ec2, instance_id)
    assert options(ec2, instance_id)["HttpTokens"] == "required"


def test_wrong_requests_are_refused(loose):
    (instance_id,) = running(loose)
    rows = [
        ("unknown id", {"InstanceId": NO_INSTANCE, "HttpTokens": "required"}, "InvalidInstanceID.NotFound"),
        ("malformed id", {"InstanceId": "i-xyz", "HttpTokens": "required"}, "InvalidInstanceID.Malformed"),
        ("no instance's id", {"InstanceId": "vol-0123456789abcdef0"}, "InvalidInstanceID.Malformed"),
        ("missing id", {"HttpTokens": "required"}, "MissingParameter"),
        ("tokens", {"InstanceId": instance_id, "HttpTokens": "on"}, "InvalidParameterValue"),
        ("tokens in capitals", {"InstanceId": instance_id, "HttpTokens": "REQUIRED"}, "InvalidParameterValue"),
        ("endpoint", {"InstanceId": instance_id, "HttpEndpoint": "optional"}, "InvalidParameterValue"),
        ("IPv6", {"InstanceId": instance_id, "HttpProtocolIpv6": "yes"}, "InvalidParameterValue"),
        ("metadata tags", {"InstanceId": instance_id, "InstanceMetadataTags": "true"}, "InvalidParameterValue"),
        ("hop limit 0", {"InstanceId": instance_id, "HttpPutResponseHopLimit": 0}, "InvalidParameterValue"),
        ("hop limit 65", {"InstanceId": instance_id, "HttpPutResponseHopLimit": 65}, "InvalidParameterValue"),
        ("hop limit -1", {"InstanceId": instance_id, "HttpPutResponseHopLimit": -1}, "InvalidParameterValue"),
        ("hop limit two", {"InstanceId": instance_id, "HttpPutResponseHopLimit": "two"}, "InvalidParameterValue"),
    ]
    for row, request, code in rows:
        with refusal(code, 400, row):
            loose.modify_instance_metadata_options(**request)
    assert options(loose, instance_id) == DEFAULTS, "a refused request changes nothing"


def test_one_wrong_value_keeps_the_others_from_being_taken(loose):
    (instance_id,) = running(loose)
    with refusal("InvalidParameterValue", 400):
        loose.modify_instance_metadata_options(
            InstanceId=instance_id, HttpTokens="required", HttpPutResponseHopLimit=65
        )
    assert options(loose, instance_id) == DEFAULTS


def test_the_hop_limit_goes_from_1_to_64(ec2):
    (instance_id,) = running(ec2)
    for hops in (64, 1, 2, 33):
        ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpPutResponseHopLimit=hops)
        assert options(ec2, instance_id)["HttpPutResponseHopLimit"] == hops


def test_a_terminated_instance_cannot_be_changed(ec2):
    (instance_id,) = running(ec2)
    ec2.terminate_instances(InstanceIds=[instance_id])
    wait_for_state(ec2, instance_id, "terminated")
    with refusal("IncorrectInstanceState", 400):
        ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")


def test_metadata_tags_need_tag_keys_that_a_path_can_hold(ec2):
    rows = [
        ("kubernetes.io/cluster/x", True),
        ("two words", True),
        (".", True),
        ("..", True),
        ("_index", True),
        ("Name", False),
        ("a-b_c+d=e,f.g@h:i", False),
    ]
    for key, is_forbidden in rows:
        (instance_id,) = running(ec2, tags={key: "v"})
        if is_forbidden:
            with refusal("InvalidParameterValue", 400, key):
                ec2.modify_instance_metadata_options(InstanceId=instance_id, InstanceMetadataTags="enabled")
            assert options(ec2, instance_id)["InstanceMetadataTags"] == "disabled", key
        else:
            ec2.modify_instance_metadata_options(InstanceId=instance_id, InstanceMetadataTags="enabled")
            assert options(ec2, instance_id)["InstanceMetadataTags"] == "enabled", key


def test_optional_tokens_are_refused_where_the_account_enforces_them(ec2):
    (instance_id,) = running(ec2, options={"HttpTokens": "required"})
    ec2.modify_instance_metadata_defaults(HttpTokensEnforced="enabled")
    with refusal("UnsupportedOperation", 400):
        ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional")
    assert options(ec2, instance_id)["HttpTokens"] == "required"
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpPutResponseHopLimit=2)
    ec2.modify_instance_metadata_defaults(HttpTokensEnforced="disabled")
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="optional")


def test_a_dry_run_answers_and_changes_nothing(sim, ec2):
    (instance_id,) = running(ec2)
    request = {"InstanceId": instance_id, "HttpTokens": "required", "DryRun": True}
    with refusal("DryRunOperation", 412):
        ec2.modify_instance_metadata_options(**request)
    deny(sim, "ModifyInstanceMetadataOptions")
    with refusal("UnauthorizedOperation", 403):
        ec2.modify_instance_metadata_options(**request)
    assert options(ec2, instance_id) == DEFAULTS
    assert options_state(ec2, instance_id) == "applied"


# ---- RunInstances ----


def test_instances_are_launched_as_asked(ec2):
    asked = {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}
    ids = launch(ec2, 3, options=asked, tags={"App": "web", "Empty": ""})
    assert len(set(ids)) == 3
    for instance in describe(ec2, *ids):
        shown = {name: instance["MetadataOptions"][name] for name in OPTIONS}
        assert shown == DEFAULTS | asked
        assert {tag["Key"]: tag["Value"] for tag in instance["Tags"]} == {"App": "web", "Empty": ""}
        assert instance["ImageId"] == IMAGE
        assert instance["InstanceType"] == "t3.micro"
        (interface,) = instance["NetworkInterfaces"]
        assert interface["Attachment"]["DeviceIndex"] == 0
        assert interface["Attachment"]["AttachTime"] == instance["LaunchTime"]
    for instance_id in ids:
        wait_for_state(ec2, instance_id, "running")


def test_a_client_token_launches_once(ec2):
    ids = launch(ec2, 2, ClientToken="once")
    assert launch(ec2, 2, ClientToken="once") == ids
    assert found(ec2, client_token="once") == set(ids)
    assert len(instances(ec2.describe_instances())) == 2


def test_wrong_launches_are_refused(loose):
    rows = [
        ("hop limit", {"options": {"HttpPutResponseHopLimit": 65}}, "InvalidParameterValue"),
        ("tokens", {"options": {"HttpTokens": "no"}}, "InvalidParameterValue"),
        (
            "metadata tags with a key that a path cannot hold",
            {"options": {"InstanceMetadataTags": "enabled"}, "tags": {"a/b": "c"}},
            "InvalidParameterValue",
        ),
        ("dry run", {"DryRun": True}, "DryRunOperation"),
    ]
    for row, request, code in rows:
        with refusal(code, 412 if code == "DryRunOperation" else 400, row):
            launch(loose, **request)
    assert instances(loose.describe_instances()) == []


# ---- DescribeInstances ----


def test_each_filter_finds_what_it_names(ec2):
    (web,) = running(ec2, tags={"App": "web", "Team": "a"}, options={"HttpTokens": "required"}, ClientToken="t-web")
    (db,) = running(ec2, tags={"App": "db"}, options=OTHERS | {"HttpTokens": "optional"} | OFF, ClientToken="t-db")
    (off,) = running(ec2)
    ec2.stop_instances(InstanceIds=[off])
    wait_for_state(ec2, off, "stopped")
    launched = describe(ec2, web)[0]["LaunchTime"].strftime("%Y-%m-%dT%H:*")
    rows = [
        ({"instance_id": web}, {web}),
        ({"instance_id": [web, db, NO_INSTANCE]}, {web, db}),
        ({"instance_id": NO_INSTANCE}, set()),
        ({"instance_state_name": "running"}, {web, db}),
        ({"instance_state_name": ["stopped", "terminated"]}, {off}),
        ({"tag__App": "web"}, {web}),
        ({"tag__App": ["w*", "d?"]}, {web, db}),
        ({"tag__App": "WEB"}, set()),
        ({"tag__App": "*"}, {web, db}),
        ({"tag_key": "Team"}, {web}),
        ({"tag_key": ["Team", "App"]}, {web, db}),
        ({"client_token": "t-db"}, {db}),
        ({"client_token": "t-*"}, {web, db}),
        ({"client_token": r"t-\*"}, set()),
        ({"launch_time": launched}, {web, db, off}),
        ({"launch_time": "2001-*"}, set()),
        ({"metadata_options.http_tokens": "required"}, {web}),
        ({"metadata_options.http_tokens": "optional"}, {db, off}),
        ({"metadata_options.http_endpoint": "disabled"}, {db}),
        ({"metadata_options.http_put_response_hop_limit": "64"}, {db}),
        ({"metadata_options.http_protocol_ipv6": "enabled"}, {db}),
        ({"metadata_options.instance_metadata_tags": "enabled"}, {db}),
        # All filters must match; one of a filter's values is enough.
        ({"tag__App": "*", "metadata_options.http_tokens": "optional"}, {db}),
        ({"tag__App": "web", "instance_state_name": "stopped"}, set()),
    ]
    for filters, expected in rows:
        assert found(ec2, **filters) == expected, filters


def test_wrong_describes_are_refused(loose):
    (instance_id,) = launch(loose)
    rows = [
        ("unknown id", {"InstanceIds": [instance_id, NO_INSTANCE]}, "InvalidInstanceID.NotFound"),
        ("malformed id", {"InstanceIds": ["i-0"]}, "InvalidInstanceID.Malformed"),
        ("unknown filter", {"Filters": [{"Name": "colour", "Values": ["red"]}]}, "InvalidParameterValue"),
        ("ids and pages", {"InstanceIds": [instance_id], "MaxResults": 5}, "InvalidParameterCombination"),
        ("pages too small", {"MaxResults": 4}, "InvalidParameterValue"),
        ("pages too large", {"MaxResults": 1001}, "InvalidParameterValue"),
        (
            "201 values of a filter",
            {"Filters": [{"Name": "instance-id", "Values": [f"i-{n:017x}" for n in range(201)]}]},
            "FilterLimitExceeded",
        ),
    ]
    for row, request, code in rows:
        with refusal(code, 400, row):
            loose.describe_instances(**request)


def test_pages_hold_every_instance_once(ec2):
    ids = set(launch(ec2, 7)) | set(launch(ec2, 5)) | set(launch(ec2, 1))
    pages = list(ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5}))
    seen = [instance["InstanceId"] for page in pages for instance in instances(page)]
    assert len(pages) == 3
    assert max(len(instances(page)) for page in pages) <= 5
    assert sorted(seen) == sorted(ids)
    filtered = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-id", "Values": sorted(ids)[:6]}], PaginationConfig={"PageSize": 5}
    )
    seen = [instance["InstanceId"] for page in filtered for instance in instances(page)]
    assert sorted(seen) == sorted(ids)[:6]


# ---- Start, stop, terminate; tags; defaults ----


def first_ran(ec2, instance_id: str):
    return describe(ec2, instance_id)[0]["NetworkInterfaces"][0]["Attachment"]["AttachTime"]


def test_instances_start_and_stop(ec2):
    (instance_id,) = running(ec2)
    attached = first_ran(ec2, instance_id)
    change = ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"][0]
    assert (change["InstanceId"], change["PreviousState"]["Name"]) == (instance_id, "running")
    wait_for_state(ec2, instance_id, "stopped")
    assert describe(ec2, instance_id)[0]["State"]["Code"] == 80
    change = ec2.start_instances(InstanceIds=[instance_id])["StartingInstances"][0]
    assert (change["CurrentState"]["Name"], change["PreviousState"]["Name"]) == ("pending", "stopped")
    wait_for_state(ec2, instance_id, "running")
    assert first_ran(ec2, instance_id) == attached < describe(ec2, instance_id)[0]["LaunchTime"]
    ec2.terminate_instances(InstanceIds=[instance_id])
    wait_for_state(ec2, instance_id, "terminated")
    with refusal("IncorrectInstanceState", 400):
        ec2.start_instances(InstanceIds=[instance_id])
    with refusal("IncorrectInstanceState", 400):
        ec2.stop_instances(InstanceIds=[instance_id])
    for call in (ec2.start_instances, ec2.stop_instances, ec2.terminate_instances):
        with refusal("InvalidInstanceID.NotFound", 400, str(call)):
            call(InstanceIds=[NO_INSTANCE])


def tags(ec2, instance_id: str) -> dict:
    return {tag["Key"]: tag["Value"] for tag in describe(ec2, instance_id)[0].get("Tags", [])}


def test_tags_come_and_go(ec2):
    first, second = launch(ec2, 2, tags={"App": "web"})
    ec2.create_tags(Resources=[first, second], Tags=[{"Key": "Team", "Value": "a"}, {"Key": "App", "Value": "db"}])
    for instance_id in (first, second):
        assert tags(ec2, instance_id) == {"App": "db", "Team": "a"}
    # A tag is deleted by its key, or, if a value is given, only if it has that value.
    ec2.delete_tags(Resources=[first], Tags=[{"Key": "App", "Value": "web"}, {"Key": "Team"}])
    assert tags(ec2, first) == {"App": "db"}
    assert tags(ec2, second) == {"App": "db", "Team": "a"}
    with refusal("InvalidInstanceID.NotFound", 400):
        ec2.create_tags(Resources=[NO_INSTANCE], Tags=[{"Key": "a", "Value": "b"}])
    with refusal("InvalidParameterValue", 400):
        ec2.create_tags(Resources=[first], Tags=[{"Key": "aws:a", "Value": "b"}])


def test_account_defaults_are_for_launches_that_say_nothing(ec2):
    ec2.modify_instance_metadata_defaults(
        HttpTokens="required", HttpPutResponseHopLimit=2, InstanceMetadataTags="enabled"
    )
    shown = ec2.get_instance_metadata_defaults()["AccountLevel"]
    assert (shown["HttpTokens"], shown["HttpPutResponseHopLimit"]) == ("required", 2)
    (by_default,) = launch(ec2)
    (by_request,) = launch(ec2, options={"HttpTokens": "optional", "HttpPutResponseHopLimit": 5})
    assert options(ec2, by_default) == DEFAULTS | {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 2,
        "InstanceMetadataTags": "enabled",
    }
    assert options(ec2, by_request) == DEFAULTS | {
        "HttpPutResponseHopLimit": 5,
        "InstanceMetadataTags": "enabled",
    }
    ec2.modify_instance_metadata_defaults(HttpTokens="no-preference", HttpPutResponseHopLimit=-1)
    (by_default,) = launch(ec2)
    assert options(ec2, by_default) == DEFAULTS | {"InstanceMetadataTags": "enabled"}


def test_wrong_defaults_are_refused(loose):
    for request in ({"HttpTokens": "on"}, {"HttpPutResponseHopLimit": 65}, {"HttpEndpoint": "off"}):
        with refusal("InvalidParameterValue", 400, str(request)):
            loose.modify_instance_metadata_defaults(**request)


# ---- The endpoint as a whole ----


def test_accounts_and_regions_are_kept_apart(sim, ec2):
    (instance_id,) = running(ec2)
    ec2.modify_instance_metadata_defaults(HttpTokensEnforced="enabled")
    for row, account, region in (
        ("another account", "444455556666", REGION),
        ("another Region", "111122223333", "eu-west-1"),
    ):
        other = ec2_client(sim.url, account, region)
        assert instances(other.describe_instances()) == [], row
        with refusal("InvalidInstanceID.NotFound", 400, row):
            other.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
        (theirs,) = launch(other)
        assert options(other, theirs)["HttpTokens"] == "optional", row
    owner = ec2_client(sim.url, "444455556666").describe_instances()["Reservations"][0]["OwnerId"]
    assert owner == "444455556666"
    assert [instance["InstanceId"] for instance in instances(ec2.describe_instances())] == [instance_id]


def signed(url: str, body: str):
    """Posts a request that no SDK would make, signed as an SDK signs."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest(method="POST", url=url + "/", data=body, headers=headers)
    SigV4Auth(Credentials("111122223333", "secret"), "ec2", REGION).add_auth(request)
    return URLLib3Session(timeout=10).send(request.prepare())


def test_requests_that_no_sdk_makes(sim):
    rows = [
        ("unknown action", "Action=MakeCoffee&Version=2016-11-15", 400, "InvalidAction"),
        ("no action", "Version=2016-11-15", 400, "MissingAction"),
        ("empty body", "", 400, "MissingAction"),
    ]
    for row, body, status, code in rows:
        answer = signed(sim.url, body)
        assert answer.status_code == status, f"{row}: {answer.text}"
        assert f"<Code>{code}</Code>" in answer.text, f"{row}: {answer.text}"
        assert "<RequestID>" in answer.text, f"{row}: {answer.text}"


def test_calls_are_recorded(sim, ec2):
    (instance_id,) = running(ec2)
    sim.forget_calls()
    ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    ec2.describe_instances()
    assert [call["action"] for call in sim.calls()] == ["ModifyInstanceMetadataOptions", "DescribeInstances"]
    (call,) = sim.calls("ModifyInstanceMetadataOptions")
    assert (call["account"], call["region"]) == ("111122223333", REGION)
    sent = call["parameters"]
    assert {name: sent[name] for name in ("InstanceId", "HttpTokens")} == {
        "InstanceId": instance_id,
        "HttpTokens": "required",
    }
    assert not set(sent) & (set(OPTIONS) - {"HttpTokens"})


def test_the_bucket_of_changes_holds_100(start):
    sim = start(Ec2Sim, "--buckets", "--start-delay", "0", "--state-delay", "0")
    ec2 = ec2_client(sim.url)
    (instance_id,) = launch(ec2)
    wait_for_state(ec2, instance_id, "running")
    answers = []
    for _ in range(150):
        try:
            ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
            answers.append("accepted")
        except ClientError as error:
            answers.append(error.response["Error"]["Code"])
    assert answers[:100] == ["accepted"] * 100
    assert "RequestLimitExceeded" in answers
    assert set(answers) == {"accepted", "RequestLimitExceeded"}
