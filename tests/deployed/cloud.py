"""AWS on this machine: ministack, with ec2-sim as its EC2 and STS, and stacks that are deployed to it."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import boto3
import requests
from botocore.config import Config
from documents import commands
from ec2_words import describe
from processes import ACCOUNT, REGION, ROOT, Ec2Sim, Running, free_port, settings, until

# The output of `sam build`.
BUILT = Path(os.environ.get("SAM_BUILD_FOLDER", ROOT / ".aws-sam" / "build"))
# How long there must be no activity until everything is done.
QUIET = 1.0

SESSION = boto3.Session()


class Ministack(Running):
    def __init__(self, folder: Path, port: int, sts_url: str):
        environment = settings(
            GATEWAY_PORT=str(port),
            BIND_HOST="127.0.0.1",
            MINISTACK_ACCOUNT_ID=ACCOUNT,
            AWS_ENDPOINT_URL_STS=sts_url,
            TMPDIR=str(folder),
            STATE_DIR=str(folder / "state"),
            S3_DATA_DIR=str(folder / "s3"),
        )
        command = [sys.executable, Path(__file__).with_name("ministack_server.py"), "--until-stdin-closes"]
        # The pipe closes when the tests end, in whatever way.
        super().__init__(command, folder, "ministack", environment, stdin=subprocess.PIPE)
        self.url = f"http://127.0.0.1:{port}"
        self.started(lambda: self.listens(port))

    def stop(self):
        # It has nothing to save.
        self.process.stdin.close()
        super().stop()


@cache
def client(service: str, url: str, account: str, region: str):
    """A client without retries; the account is the access key."""
    return SESSION.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
    )


class Cloud:
    """Both emulators, connected: ec2-sim sends events, and the functions send calls to ec2-sim."""

    def __init__(self, start):
        port = free_port()
        delays = ["--apply-delay", "300", "--start-delay", "300", "--state-delay", "200"]
        self.sim = start(Ec2Sim, "--deliver-to-bus", f"http://127.0.0.1:{port}", *delays)
        self.ministack = start(Ministack, port, self.sim.url)

    def client(self, service: str, account: str = ACCOUNT, region: str = REGION):
        url = self.sim.url if service == "ec2" else self.ministack.url
        return client(service, url, account, region)

    def publish(self, metric: str, instance_id: str, values: dict[datetime, float], region: str = REGION):
        """Publishes EC2's metric of an instance, as EC2 does: a value for each time."""
        dimensions = [{"Name": "InstanceId", "Value": instance_id}]
        data = [
            {"MetricName": metric, "Dimensions": dimensions, "Timestamp": time, "Value": value, "Unit": "Count"}
            for time, value in values.items()
        ]
        self.client("cloudwatch", region=region).put_metric_data(Namespace="AWS/EC2", MetricData=data)

    def environment(self, account: str = ACCOUNT, region: str = REGION) -> dict[str, str]:
        """The variables with which `aws` and `sam` use both emulators, as a user sets them."""
        return settings(
            account,
            AWS_ENDPOINT_URL=self.ministack.url,
            AWS_ENDPOINT_URL_EC2=self.sim.url,
            AWS_REGION=region,
            AWS_DEFAULT_REGION=region,
            SAM_CLI_TELEMETRY="0",
            TMPDIR=str(self.ministack.log.parent),
        )

    def run(self, *command: str | Path, **of) -> subprocess.CompletedProcess:
        """A program with these emulators as its AWS."""
        return subprocess.run(
            [str(part) for part in command],
            env=self.environment(**of),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def sam_deploy(self, template: Path = BUILT / "template.yaml", tags: str = "team=platform", **parameters: str):
        """`sam deploy` with the settings of samconfig.toml, but without confirmation."""
        assert template.is_file(), "sam build makes it"
        given = {"Mode": "enforce", "Ec2EndpointUrl": self.sim.url} | parameters
        overrides = [f"{name}={value}" for name, value in given.items()]
        ended = self.run(
            *("sam", "deploy", "--config-file", ROOT / "samconfig.toml", "--template-file", template),
            *("--no-confirm-changeset", "--tags", tags, "--parameter-overrides", *overrides),
        )
        logged = self.ministack.output()[-4000:]
        assert ended.returncode == 0, f"sam deploy: {ended.stdout[-4000:]}\n{ended.stderr}\nministack: {logged}"
        return Stack(self, "imds-enforcer")


class Stack:
    """A stack that is deployed, or is about to be."""

    def __init__(self, cloud: Cloud, name: str, account: str = ACCOUNT, region: str = REGION):
        self.cloud, self.name, self.account, self.region = cloud, name, account, region
        until(f"{name} in {region}", lambda: not self.described()["StackStatus"].endswith("IN_PROGRESS"), within=60)
        stack = self.described()
        assert stack["StackStatus"] == "CREATE_COMPLETE", self.failures()
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
        self.resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
        self.ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in self.resources}

    def described(self) -> dict:
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return stack

    def failures(self) -> list[str]:
        events = self.client("cloudformation").describe_stack_events(StackName=self.name)["StackEvents"]
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for event in events
            if event["ResourceStatus"].endswith("FAILED")
        ]

    def client(self, service: str):
        return self.cloud.client(service, self.account, self.region)

    @property
    def ec2(self):
        return self.client("ec2")

    def of_type(self, kind: str) -> dict[str, str]:
        """The physical ids of the resources of this type, by logical id."""
        names = [resource["LogicalResourceId"] for resource in self.resources if resource["ResourceType"] == kind]
        return {name: self.ids[name] for name in names}

    def is_enforced(self, *ids: str) -> bool:
        shown = [instance["MetadataOptions"] for instance in describe(self.ec2, *ids)]
        return all((options["HttpTokens"], options["State"]) == ("required", "applied") for options in shown)

    def wait_until_enforced(self, *ids: str, within: float = 15.0):
        until(f"{ids} enforced", lambda: self.is_enforced(*ids), within)

    def messages(self) -> dict[str, list[int]]:
        """How many messages wait in each queue, are in flight and are delayed; queues without any are left out."""
        counts = {}
        for name, url in self.of_type("AWS::SQS::Queue").items():
            names = [f"ApproximateNumberOfMessages{of}" for of in ("", "NotVisible", "Delayed")]
            found = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            counts[name] = [int(found[name]) for name in names]
        return {name: count for name, count in counts.items() if any(count)}

    def settle(self, within: float = 30.0):
        """Waits until done: queues are empty, nothing is in flight, and there are no calls to EC2 for a while."""
        end = time.monotonic() + within
        seen, since = None, time.monotonic()
        while time.monotonic() - since < QUIET:
            messages, calls = self.messages(), len(self.cloud.sim.calls())
            if messages or calls != seen:
                seen, since = calls, time.monotonic()
            assert time.monotonic() < end, f"not done within {within} s: {messages}, {calls} calls"
            time.sleep(0.1)

    def kept(self, output: str = "QueueUrl") -> list[dict]:
        """The messages of a queue, with when each is visible again. SQS does not tell, ministack does."""
        url = f"{self.cloud.ministack.url}/_ministack/sqs/messages"
        where = {"account": self.account, "region": self.region, "QueueUrl": self.outputs[output]}
        answer = requests.get(url, params=where, timeout=10)
        assert answer.ok, answer.text
        return answer.json()["messages"][self.account][self.region][self.outputs[output]]

    @contextmanager
    def off(self, *rules: str):
        """Disables rules in the block, so that their events are missed."""
        events = self.client("events")
        for rule in rules:
            events.disable_rule(Name=self.ids[rule])
        try:
            yield
        finally:
            for rule in rules:
                events.enable_rule(Name=self.ids[rule])

    def logged(self, pattern: str, log: str = "EnforcerLogName") -> list[dict]:
        """The functions' log lines that match the pattern."""
        events = self.client("logs").filter_log_events(logGroupName=self.outputs[log], filterPattern=pattern)
        return [json.loads(event["message"]) for event in events["events"]]

    def outcomes(self, instance_id: str, log: str = "EnforcerLogName") -> list[dict]:
        """What the functions logged of an instance."""
        return self.logged(f'"{instance_id}" "outcome"', log)

    def alarm(self, name: str) -> dict:
        (alarm,) = self.client("cloudwatch").describe_alarms(AlarmNames=[self.ids[name]])["MetricAlarms"]
        return alarm

    def points(self, name: str) -> list[dict]:
        """What the query of an alarm finds."""
        alarm, now = self.alarm(name), datetime.now(timezone.utc)
        return self.client("cloudwatch").get_metric_statistics(
            Namespace=alarm["Namespace"],
            MetricName=alarm["MetricName"],
            Dimensions=alarm["Dimensions"],
            Statistics=[alarm["Statistic"]],
            Period=alarm["Period"],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
        )["Datapoints"]

    def publish(self, metric: str, instance_id: str, values: dict[datetime, float]):
        self.cloud.publish(metric, instance_id, values, self.region)

    def publish_days(self, metric: str, instance_id: str, value: float):
        """Publishes the same value for each of the last 13 days, today included.

        The start of the day before them may be older than two weeks, which is the most that is accepted.
        """
        today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        self.publish(metric, instance_id, {today - timedelta(days=ago): value for ago in range(13)})

    def role_arn(self, name: str) -> str:
        return self.client("iam").get_role(RoleName=self.ids[name])["Role"]["Arn"]

    def changes(self, instance_id: str) -> list[dict]:
        """The calls that changed options of the instance, or tried to, and were of a role."""
        calls = self.cloud.sim.calls("ModifyInstanceMetadataOptions")
        return [call for call in calls if instance_id in call["instanceIds"] and call.get("role")]

    def put_sweep(self):
        """With the command of docs/operations.md, "Start a sweep", which is that of docs/deploy.md, "Deploy", too."""
        (command,) = commands("docs/operations.md", "Start a sweep")
        assert commands("docs/deploy.md", "Deploy") == [command]
        self.put(command)

    def put_sweep_with_watch(self):
        """With the command of docs/policy.md, "The watch"."""
        self.put(*commands("docs/policy.md", "The watch"))

    def put(self, command: str):
        """Runs a command that puts an event."""
        ended = self.cloud.run("bash", "-c", command, account=self.account, region=self.region)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["FailedEntryCount"] == 0, ended.stdout
