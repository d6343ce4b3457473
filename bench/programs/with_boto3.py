"""The same calls with boto3, as in a typical script."""

import json

import boto3

EC2 = boto3.client("ec2")


def handler(event: dict, context) -> dict:
    records = event.get("Records")
    events = [json.loads(record["body"]) for record in records] if records else [event]
    ids = [event["detail"]["instance-id"] for event in events]
    for chunk in (ids[i : i + 200] for i in range(0, len(ids), 200)):
        described = EC2.describe_instances(Filters=[{"Name": "instance-id", "Values": chunk}])
        for reservation in described["Reservations"]:
            for instance in reservation["Instances"]:
                if instance["MetadataOptions"]["HttpTokens"] != "required":
                    EC2.modify_instance_metadata_options(InstanceId=instance["InstanceId"], HttpTokens="required")
        EC2.describe_instances(Filters=[{"Name": "instance-id", "Values": chunk}])
    return {"batchItemFailures": []}
