"""An organization without a hub: stackset/package uploads, and stackset/standalone.yaml is deployed to two accounts.

ministack has no stack sets, and takes code only from buckets of the account itself. So each account has its own
buckets, and gets its stack by hand: from the URL and with the parameters in the commands that the script prints.
"""

import json
import shlex
from pathlib import Path

import pytest
from cloud import BUILT, Cloud, Stack
from ec2_words import launch, options
from processes import ACCOUNT, ROOT

MEMBER = "444455556666"
REGION_OF = {ACCOUNT: "us-east-1", MEMBER: "eu-west-1"}
# As a stack set names its stacks.
NAME = "StackSet-imds-enforcer-standalone-0d5e2a1c-6f0b-4a39-9b53-7f1c2e8d4b60"
OPTIONAL = {"HttpTokens": "optional"}


def package(cloud: Cloud, account: str, policy: Path = ROOT / "policy") -> dict[str, dict]:
    """Uploads as the account; for each command that is printed, what CloudFormation needs of it."""
    ended = cloud.run(
        *(
            ROOT / "stackset" / "package",
            f"code-{account}",
            ",".join(REGION_OF.values()),
            "--build-dir",
            BUILT,
            "--policy",
            policy,
        ),
        *("Mode=enforce", f"Ec2EndpointUrl={cloud.sim.url}"),
        account=account,
    )
    assert ended.returncode == 0, ended.stderr
    words = shlex.split(ended.stdout.replace("\\\n", ""), comments=True)
    found = {}
    for operation in ("create-stack-set", "update-stack-set"):
        after = words[words.index(operation) :]
        given = {
            option: after[after.index(option) + 1] for option in ("--template-url", "--parameters", "--capabilities")
        }
        found[operation] = {
            "TemplateURL": given["--template-url"],
            "Parameters": json.loads(given["--parameters"]),
            "Capabilities": [given["--capabilities"]],
        }
    return found


def deploy(cloud: Cloud, account: str) -> Stack:
    for region in REGION_OF.values():
        place = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
        cloud.client("s3", account, region).create_bucket(Bucket=f"code-{account}-{region}", **place)
    region = REGION_OF[account]
    cloudformation = cloud.client("cloudformation", account, region)
    cloudformation.create_stack(StackName=NAME, **package(cloud, account)["create-stack-set"])
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return Stack(cloud, NAME, account, region)


@pytest.fixture(scope="module")
def stacks(cloud) -> dict[str, Stack]:
    """The stack of each account."""
    return {account: deploy(cloud, account) for account in REGION_OF}


@pytest.fixture(autouse=True)
def done(stacks):
    """After each test, nothing is left to do."""
    yield
    for stack in stacks.values():
        stack.settle()


@pytest.mark.parametrize("account", REGION_OF)
def test_a_launch_is_enforced_by_the_account_s_own_function(stacks, account):
    stack = stacks[account]
    (instance_id,) = launch(stack.ec2, options=OPTIONAL)
    stack.wait_until_enforced(instance_id)
    stack.settle()
    outcomes = stack.outcomes(instance_id)
    assert {(o["account"], o["region"]) for o in outcomes} == {(account, REGION_OF[account])}
    assert {o["trigger"] for o in outcomes} <= {"launch", "state-change"}, "our own change is no drift"
    changes = stack.changes(instance_id)
    role = stack.role_arn("EnforcerRole")
    assert f":{account}:" in role
    assert {(c["account"], c["region"], c["role"]) for c in changes} == {(account, REGION_OF[account], role)}
    # No function assumes a role, and the other account's function has no log of it.
    assert not [call for call in stack.cloud.sim.calls("AssumeRole") if call.get("role")]
    (other,) = (stacks[name] for name in stacks if name != account)
    assert not other.outcomes(instance_id)


def test_a_sweep_on_demand_finds_what_events_missed(stacks):
    stack = stacks[MEMBER]
    with stack.off("LaunchRule", "StateRule"):
        (instance_id,) = launch(stack.ec2, options=OPTIONAL)
        stack.put_sweep()
        stack.wait_until_enforced(instance_id)
        stack.settle()
    assert {call["role"] for call in stack.changes(instance_id)} == {stack.role_arn("SweeperRole")}


def test_a_new_version_brings_a_new_policy(stacks, tmp_path):
    stack, other = stacks[MEMBER], stacks[ACCOUNT]
    policy = {"baseline": {"HttpTokens": "required", "HttpPutResponseHopLimit": {"atMost": 3}}}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    update = package(stack.cloud, MEMBER, tmp_path)["update-stack-set"]
    cloudformation = stack.client("cloudformation")
    cloudformation.update_stack(StackName=NAME, **update)
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    limits = {}
    for each in (stack, other):
        (instance_id,) = launch(each.ec2, options=OPTIONAL | {"HttpPutResponseHopLimit": 9})
        each.wait_until_enforced(instance_id)
        limits[each.account] = options(each.ec2, instance_id)["HttpPutResponseHopLimit"]
    assert limits == {MEMBER: 3, ACCOUNT: 9}
    versions = stack.client("lambda").list_layer_versions(LayerName=f"{NAME}-policy")["LayerVersions"]
    assert len(versions) == 1, "the former version is deleted"
