"""imdsctl against moto, a server that we did not write and that is not changed."""

import json

import pytest
from audits import NO_GATE, policy
from conftest import ec2_client
from ec2_words import describe, launch
from fleet import imdsctl, outcomes

# With a source that a tag names, the account's defaults do not matter. moto answers that call with an error, and the
# retries take 10 s.
SOURCE = {"karpenter.sh/nodepool": "web"}


@pytest.fixture
def ids(moto) -> dict[str, list[str]]:
    ec2 = ec2_client(moto.url)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    # Other tests use the same server.
    every = ec2.describe_instances()["Reservations"]
    known = [instance["InstanceId"] for one in every for instance in one["Instances"]]
    if known:
        ec2.terminate_instances(InstanceIds=known)
    optional = launch(ec2, 3, {"HttpTokens": "optional"}, {"Name": "old"} | SOURCE, ImageId=image)
    required = launch(ec2, 2, {"HttpTokens": "required"}, ImageId=image)
    return {"optional": optional, "required": required}


def live(audit: dict) -> dict[str, str]:
    return {row["instanceId"]: row["decision"] for row in audit["instances"] if row["state"] != "terminated"}


def audited(moto, *arguments) -> tuple[int, dict]:
    ended = imdsctl("audit", "--format", "json", *arguments, url=moto.url)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


def test_an_audit_reads_what_moto_has(moto, ids, tmp_path):
    file = policy(tmp_path, NO_GATE)
    code, audit = audited(moto, "--policy", file, "--usage-days", "0")
    assert (code, audit["errors"], audit["complete"]) == (1, [], True)
    assert live(audit) == dict.fromkeys(ids["optional"], "change") | dict.fromkeys(ids["required"], "compliant")
    row = next(row for row in audit["instances"] if row["instanceId"] == ids["optional"][0])
    assert (row["name"], row["state"], row["before"]["HttpTokens"]) == ("old", "running", "optional")


def test_what_moto_lacks_is_a_warning(moto, ids):
    ec2_client(moto.url).delete_tags(Resources=ids["optional"], Tags=[{"Key": key} for key in SOURCE])
    code, audit = audited(moto)
    assert (code, audit["errors"], audit["complete"]) == (1, [], True)
    warnings = " ".join(audit["warnings"])
    assert "the use of IMDSv1 is not known" in warnings and "the account's defaults cannot be read" in warnings


def test_all_regions_of_moto_are_read(moto, ids, tmp_path):
    code, audit = audited(moto, "--all-regions", "--usage-days", "0", "--policy", policy(tmp_path, NO_GATE))
    assert (code, audit["errors"]) == (1, [])
    assert live(audit).items() >= dict.fromkeys(ids["optional"], "change").items()


def test_a_plan_is_made_and_applied_in_moto(moto, ids, tmp_path):
    plan = tmp_path / "plan.json"
    ended = imdsctl("plan", "--policy", policy(tmp_path, NO_GATE), "--output", plan, url=moto.url)
    assert ended.returncode == 1, ended.stderr
    assert {row["instanceId"] for row in json.loads(plan.read_text())["changes"]} == set(ids["optional"])
    applied = imdsctl("apply", plan, "--yes", url=moto.url)
    assert (applied.returncode, applied.stderr) == (0, ""), applied.stdout
    assert outcomes(plan) == dict.fromkeys(ids["optional"], "enforced")
    shown = describe(ec2_client(moto.url), *ids["optional"], *ids["required"])
    assert {instance["MetadataOptions"]["HttpTokens"] for instance in shown} == {"required"}
    code, audit = audited(moto, "--policy", policy(tmp_path, NO_GATE), "--usage-days", "0")
    assert code == 0 and set(live(audit).values()) == {"compliant"}
