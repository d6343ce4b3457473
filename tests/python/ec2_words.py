"""Short forms of EC2 calls for the tests."""

from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError
from processes import until

OPTIONS = ("HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags")
IMAGE = "ami-0abcdef1234567890"
# A well-formed ID that no instance has.
NO_INSTANCE = "i-0fffffffffffffff0"


def launch(ec2, count: int = 1, options: dict | None = None, tags: dict | None = None, **more) -> list[str]:
    """Runs instances and returns their ids."""
    parameters = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": count, "MaxCount": count} | more
    if options:
        parameters["MetadataOptions"] = options
    if tags:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        parameters["TagSpecifications"] = [{"ResourceType": "instance", "Tags": pairs}]
    answer = ec2.run_instances(**parameters)
    return [instance["InstanceId"] for instance in answer["Instances"]]


def instances(answer: dict) -> list[dict]:
    """The instances of a DescribeInstances answer."""
    return [instance for reservation in answer["Reservations"] for instance in reservation["Instances"]]


def describe(ec2, *ids: str) -> list[dict]:
    return instances(ec2.describe_instances(InstanceIds=list(ids)))


def found(ec2, **filters: str | list[str]) -> set[str]:
    """The ids that filters find; `tag__App` stands for `tag:App`, `_` for `-`."""

    def name(key: str) -> str:
        return key.replace("__", ":").replace("_", "-")

    def values(value: str | list[str]) -> list[str]:
        return [value] if isinstance(value, str) else value

    wanted = [{"Name": name(key), "Values": values(value)} for key, value in filters.items()]
    return {instance["InstanceId"] for instance in instances(ec2.describe_instances(Filters=wanted))}


def options(ec2, instance_id: str) -> dict:
    """The five options of an instance."""
    shown = describe(ec2, instance_id)[0]["MetadataOptions"]
    return {name: shown[name] for name in OPTIONS}


def options_state(ec2, instance_id: str) -> str:
    return describe(ec2, instance_id)[0]["MetadataOptions"]["State"]


def state(ec2, instance_id: str) -> str:
    return describe(ec2, instance_id)[0]["State"]["Name"]


def wait_for_state(ec2, instance_id: str, wanted: str):
    until(f"{instance_id} {wanted}", lambda: state(ec2, instance_id) == wanted)


def wait_for_applied(ec2, instance_id: str):
    until(f"options of {instance_id} applied", lambda: options_state(ec2, instance_id) == "applied")


def running(ec2, count: int = 1, **more) -> list[str]:
    """Instances that run, with their options applied."""
    ids = launch(ec2, count, **more)
    for instance_id in ids:
        wait_for_state(ec2, instance_id, "running")
        wait_for_applied(ec2, instance_id)
    return ids


@contextmanager
def refusal(code: str, status: int, row: str = ""):
    """EC2 must refuse what is called inside, with this code and HTTP status."""
    try:
        with pytest.raises(ClientError) as caught:
            yield
    except pytest.fail.Exception:
        pytest.fail(f"{row}: EC2 accepted it; {code} was expected")
    answer = caught.value.response
    seen = (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])
    assert seen == (code, status), f"{row}: {answer['Error']}"
