"""The template as CloudFormation makes it: built, packaged, transformed as SAM does, and created on moto's server."""

import json
import re
import subprocess
from pathlib import Path

import boto3
import pytest
from cfn import Filled
from processes import ACCOUNT, REGION, ROOT, program, settings


def client(service: str, url: str):
    credentials = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "secret"}
    return boto3.client(service, endpoint_url=url, region_name=REGION, **credentials)


@pytest.fixture(scope="module")
def packaged(moto, tmp_path_factory) -> Path:
    """The built template after `sam package` into moto's S3."""
    client("s3", moto.url).create_bucket(Bucket="packages")
    path = tmp_path_factory.mktemp("packaged") / "template.yaml"
    built = ROOT / ".aws-sam" / "build" / "template.yaml"
    assert built.is_file(), "sam build makes it"
    command = ["sam", "package", "--template-file", built, "--s3-bucket", "packages", "--output-template-file", path]
    environment = settings(AWS_ENDPOINT_URL=moto.url, SAM_CLI_TELEMETRY="0")
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return path


@pytest.fixture(scope="module")
def stack(moto, packaged) -> dict[str, list[str]]:
    """The physical ids of the stack's resources, by type."""
    command = [program("TOOLS_PYTHON", "the Python of sam"), ROOT / ".ci" / "template_json.py", packaged, "--transform"]
    transformed = subprocess.run(command, env=settings(), capture_output=True, text=True, timeout=60)
    assert transformed.returncode == 0, transformed.stderr
    plain = json.loads(transformed.stdout)
    assert "Transform" not in plain
    # In a list, moto keeps the gap that AWS::NoValue leaves.
    plain["Resources"] = Filled(plain).resources
    cloudformation = client("cloudformation", moto.url)
    cloudformation.create_stack(
        StackName="imds-enforcer", TemplateBody=json.dumps(plain), Capabilities=["CAPABILITY_IAM"]
    )
    (made,) = cloudformation.describe_stacks(StackName="imds-enforcer")["Stacks"]
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    found = {}
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName="imds-enforcer"):
        for resource in page["StackResourceSummaries"]:
            found.setdefault(resource["ResourceType"], []).append(resource["PhysicalResourceId"])
    return found


def test_its_queues_are_there(moto, stack):
    sqs = client("sqs", moto.url)
    urls = sqs.list_queues(QueueNamePrefix="imds-enforcer-")["QueueUrls"]
    assert len(urls) == len(stack["AWS::SQS::Queue"]) == 5
    redriven = 0
    for url in urls:
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        redriven += "RedrivePolicy" in attributes
    assert redriven == 2


def test_its_rules_send_to_its_queues(moto, stack):
    events = client("events", moto.url)
    queues = {url.rsplit("/", 1)[1] for url in client("sqs", moto.url).list_queues()["QueueUrls"]}
    rules = events.list_rules()["Rules"]
    assert len(rules) == len(stack["AWS::Events::Rule"]) == 7
    for rule in rules:
        (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        assert target["Arn"].rsplit(":", 1)[1] in queues, rule
        assert target["DeadLetterConfig"]["Arn"].rsplit(":", 1)[1] in queues, rule


def test_its_functions_have_roles_code_and_queues(moto, stack):
    lambdas = client("lambda", moto.url)
    functions = lambdas.list_functions()["Functions"]
    assert len(functions) == len(stack["AWS::Lambda::Function"]) == 2
    roles = {role["Arn"] for role in client("iam", moto.url).list_roles()["Roles"]}
    for function in functions:
        assert function["Role"] in roles
        assert (function["Runtime"], function["Handler"]) == ("provided.al2023", "bootstrap")
        assert function["CodeSize"] > 1_000_000
        variables = function["Environment"]["Variables"]
        assert variables["IMDS_MODE"] == "dry-run" and "AWS_ENDPOINT_URL_EC2" not in variables
    assert len(stack["AWS::Lambda::LayerVersion"]) == 1
    mappings = lambdas.list_event_source_mappings()["EventSourceMappings"]
    assert {mapping["BatchSize"] for mapping in mappings} == {100, 10}
    assert all(mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for mapping in mappings)


def test_the_members_template_is_uploaded_and_the_stack_set_finds_it(moto, packaged):
    url = re.search(r"TemplateURL: *(\S+)", packaged.read_text()).group(1)
    bucket, key = re.search(r"/(packages)/(\S+)$", url).groups()
    uploaded = client("s3", moto.url).get_object(Bucket=bucket, Key=key)["Body"].read()
    assert uploaded == (ROOT / "stackset" / "member.yaml").read_bytes()
