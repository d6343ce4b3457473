"""imdsctl restore: what was changed is set back, and nothing else."""

import json

import pytest
from conftest import ec2_client
from ec2_words import describe, launch, options
from fleet import (
    BEFORE,
    CHANGE,
    HOSTILE,
    POLICY,
    change,
    changed,
    imdsctl,
    journal_of,
    old,
    on_terminal,
    write_plan,
)
from processes import ACCOUNT, REGION, Ec2Sim

# Requires nothing, so that nothing is changed back.
NOTHING = '{"baseline": {}}'


@pytest.fixture
def sim(start) -> Ec2Sim:
    return start(Ec2Sim, "--apply-delay", "100")


@pytest.fixture
def ec2(sim):
    return ec2_client(sim.url)


@pytest.fixture
def lenient(tmp_path):
    file = tmp_path / "lenient.json"
    file.write_text(NOTHING)
    return file


def told(ended) -> str:
    """What was printed, with one space between words."""
    return " ".join(ended.stdout.split())


def applied(sim, tmp_path, ids: list[str]):
    """The journal of a plan that was applied."""
    plan = write_plan(tmp_path, [change(instance_id) for instance_id in ids])
    ended = imdsctl("apply", plan, "--yes", url=sim.url)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    sim.forget_calls()
    return journal_of(plan)


def logged(instance_id: str, before: dict, change: dict, second: int = 1, **more) -> str:
    """A line that the function logs."""
    line = {
        "timestamp": f"2026-11-24T12:00:{second:02}Z",
        "level": "INFO",
        "requestId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        "account": ACCOUNT,
        "region": REGION,
        "instanceId": instance_id,
        "trigger": "sweep",
        "mode": "enforce",
        "outcome": "enforced",
        "before": before,
        "change": change,
        "state": "applied",
        "reasons": [],
        "warnings": [],
    }
    return json.dumps(line | more)


def test_what_apply_set_is_restored_exactly(sim, ec2, tmp_path, lenient):
    ids = old(sim, 30, **BEFORE) + old(sim, 2, **{**BEFORE, "HttpPutResponseHopLimit": 5})
    before = {instance_id: options(ec2, instance_id) for instance_id in ids}
    journal = applied(sim, tmp_path, ids)
    assert all(options(ec2, instance_id).items() >= CHANGE.items() for instance_id in ids)

    ended = imdsctl("restore", journal, "--yes", "--allow-loosening", "--policy", lenient, url=sim.url)

    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert ended.stdout == "32 instances: 32 restored\n"
    assert {instance_id: options(ec2, instance_id) for instance_id in ids} == before
    assert sorted(changed(sim)) == sorted(ids)
    again = imdsctl("restore", journal, "--yes", "--allow-loosening", "--policy", lenient, url=sim.url)
    assert again.returncode == 0 and "32 as-before" in again.stdout and len(changed(sim)) == 32, again.stdout


def test_what_was_changed_since_is_named_and_left(sim, ec2, tmp_path, lenient):
    ids = old(sim, 2, **BEFORE)
    journal = applied(sim, tmp_path, ids)
    ec2.modify_instance_metadata_options(InstanceId=ids[0], HttpPutResponseHopLimit=1)
    ended = imdsctl("restore", journal, "--yes", "--allow-loosening", "--policy", lenient, url=sim.url)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert f"{ids[0]}, {ACCOUNT} {REGION}: restored-in-part" in ended.stdout
    assert "HttpPutResponseHopLimit is left: it was set to 2 and is now 1" in told(ended)
    assert options(ec2, ids[0]).items() >= {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1}.items()
    assert options(ec2, ids[1]).items() >= BEFORE.items()


def test_optional_tokens_need_a_flag_and_the_rest_proceeds(sim, ec2, tmp_path, lenient):
    (instance_id,) = old(sim, 1, **BEFORE)
    journal = applied(sim, tmp_path, [instance_id])
    ended = imdsctl("restore", journal, "--yes", "--policy", lenient, url=sim.url)
    assert ended.returncode == 1 and "optional needs --allow-loosening" in told(ended), ended.stdout
    assert options(ec2, instance_id).items() >= {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}.items()


def test_what_the_policy_would_change_back_is_left_unless_anyway(sim, ec2, tmp_path):
    exempt, required = old(sim, 2, **BEFORE)
    journal = applied(sim, tmp_path, [exempt, required])
    ec2.create_tags(Resources=[exempt], Tags=[{"Key": "App", "Value": "legacy"}])
    rule = {"name": "legacy", "when": {"tags": {"App": "legacy"}}, "exempt": {"until": "2999-12-31"}}
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(POLICY | {"rules": [rule]}))

    # The journal has the plan's policy, in which nothing is exempt.
    ended = imdsctl("restore", journal, "--yes", "--allow-loosening", url=sim.url)
    assert (ended.returncode, changed(sim)) == (1, []), ended.stdout
    assert "2 left" in ended.stdout

    ended = imdsctl("restore", journal, "--yes", "--allow-loosening", "--policy", policy, url=sim.url)
    assert (ended.returncode, changed(sim)) == (1, [exempt]), ended.stdout
    why = "the policy would change it back at the next event (baseline requires HttpTokens=required)"
    assert f"HttpTokens=optional is left out: {why}" in told(ended)

    ended = imdsctl("restore", journal, "--yes", "--allow-loosening", "--anyway", url=sim.url)
    assert (ended.returncode, changed(sim)) == (0, [exempt, required]), ended.stdout
    assert options(ec2, required).items() >= BEFORE.items()


def test_where_the_account_enforces_tokens_the_rest_is_restored(sim, ec2, tmp_path, lenient):
    (instance_id,) = old(sim, 1, **BEFORE)
    journal = applied(sim, tmp_path, [instance_id])
    ec2.modify_instance_metadata_defaults(HttpTokens="required", HttpTokensEnforced="enabled")
    ended = imdsctl("restore", journal, "--yes", "--allow-loosening", "--policy", lenient, url=sim.url)
    assert ended.returncode == 1 and "restored-in-part" in ended.stdout, ended.stdout + ended.stderr
    assert "HttpTokens=optional is left out" in told(ended)
    assert options(ec2, instance_id).items() >= {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}.items()


def test_log_lines_of_the_function_are_restored(sim, ec2, tmp_path, lenient):
    ids = old(sim, 3, **CHANGE)
    first = [logged(instance_id, BEFORE, {"HttpTokens": "required"}, 1) for instance_id in ids]
    second = [logged(ids[0], {"HttpPutResponseHopLimit": 3}, {"HttpPutResponseHopLimit": 2}, 2)]
    events = {"events": [{"timestamp": 1, "message": line + "\n"} for line in ["START", *first, *second]]}
    exported = [f"2026-11-24T12:00:01.000Z\t{line}" for line in ["START", *first, *second, '{"message":"batch done"}']]
    for number, text in enumerate(["\n".join([*second, *first]), "\n".join(exported), json.dumps(events, indent=4)]):
        file = tmp_path / f"log-{number}"
        file.write_text(text)
        flags = ["--yes", "--allow-loosening", "--policy", lenient]
        ended = imdsctl("restore", file, *flags, url=sim.url)
        assert (ended.returncode, ended.stdout) == (0, "3 instances: 3 restored\n"), ended.stdout + ended.stderr
        assert options(ec2, ids[0]).items() >= BEFORE.items()
        assert options(ec2, ids[1]).items() >= {"HttpTokens": "optional", "HttpPutResponseHopLimit": 2}.items()
        for instance_id in ids:
            ec2.modify_instance_metadata_options(InstanceId=instance_id, **CHANGE)
    piped = imdsctl("restore", "-", *flags, url=sim.url, stdin="\n".join(first))
    assert piped.stdout == "3 instances: 3 restored\n", piped.stderr
    # The built-in policy asks for the use of IMDSv1, which is not known here.
    again = imdsctl("restore", "-", "--yes", "--allow-loosening", url=sim.url, stdin="\n".join(first[1:2]))
    assert again.returncode == 0 and "as-before" in again.stdout, again.stdout


def test_what_needs_the_use_of_imdsv1_counts_as_changed_back(sim, tmp_path):
    (instance_id,) = old(sim, 1, **CHANGE)
    line = logged(instance_id, BEFORE, {"HttpTokens": "required"})
    ended = imdsctl("restore", "-", "--yes", "--allow-loosening", url=sim.url, stdin=line)
    assert (ended.returncode, changed(sim)) == (1, []), ended.stdout + ended.stderr
    assert "the policy may change it back at the next event (the usage gate asks CloudWatch" in told(ended)


def test_a_file_without_changes_or_with_hostile_ones_is_refused(sim, tmp_path):
    (instance_id,) = old(sim, 1, **CHANGE)
    good = logged(instance_id, BEFORE, CHANGE)
    rows = [
        ("", "has no change that could be restored"),
        ("nothing\n{}\n[]\nnull\n" + HOSTILE, "has no change that could be restored"),
        (logged(instance_id, BEFORE, CHANGE, region=HOSTILE), "is not a Region code"),
        (good[:-40], "line 1: it is cut off, or not JSON"),
        (good.replace(instance_id, "i-*"), '"i-*" is not an instance id'),
        (good + "\n" + good.replace(ACCOUNT, "444455556666"), "is in two accounts or Regions"),
        (good.replace(ACCOUNT, "444455556666"), "a role is missing: account 444455556666"),
    ]
    for text, message in rows:
        ended = imdsctl("restore", "-", "--yes", "--allow-loosening", url=sim.url, stdin=text)
        assert (ended.returncode, message in ended.stderr) == (2, True), f"{message}: {ended.stderr}"
        assert "\x1b" not in ended.stderr and "\u202e" not in ended.stderr
    assert changed(sim) == []


def test_it_asks_on_a_terminal_and_only_there(sim, tmp_path, lenient):
    (instance_id,) = old(sim, 1, **BEFORE)
    journal = applied(sim, tmp_path, [instance_id])
    flags = ["--allow-loosening", "--policy", lenient]
    ended = imdsctl("restore", journal, *flags, url=sim.url)
    assert ended.returncode == 2 and "use --yes" in ended.stderr, ended.stderr
    code, seen = on_terminal("restore", journal, *flags, url=sim.url, answer="no")
    assert code == 1 and 'Restore 1 instance in 1 account? Only "yes" is accepted:' in seen, seen
    assert changed(sim) == []
    code, seen = on_terminal("restore", journal, *flags, url=sim.url, answer="yes")
    assert code == 0 and changed(sim) == [instance_id], seen


def test_a_run_that_was_killed_is_restored_where_it_changed_something(sim, ec2, tmp_path, lenient):
    made, not_made = old(sim, 2, **BEFORE)
    journal = applied(sim, tmp_path, [made])
    lines = journal.read_text().splitlines()
    intention = next(line for line in lines if '"kind":"intention"' in line)
    # The process was killed before it wrote a result of either.
    kept = [*lines[:2], intention, intention.replace(made, not_made)]
    journal.write_text("\n".join(kept) + "\n")
    ended = imdsctl("restore", journal, "--yes", "--allow-loosening", "--policy", lenient, url=sim.url)
    assert (ended.returncode, changed(sim)) == (0, [made]), ended.stdout + ended.stderr
    assert options(ec2, made).items() >= BEFORE.items()


def test_apply_and_restore_against_moto(moto, tmp_path, lenient):
    """moto was not written for this: EC2 and STS as others see them. The policy has no usage gate."""
    ec2 = ec2_client(moto.url)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ids = [
        *launch(ec2, 2, options={"HttpTokens": "optional", "HttpPutResponseHopLimit": 3}, ImageId=image),
        *launch(ec2, 1, options={"HttpTokens": "required", "HttpPutResponseHopLimit": 1}, ImageId=image),
    ]
    before = {instance_id: shown(ec2, instance_id) for instance_id in ids}
    account = boto_account(ec2, ids[0])
    caller = f"arn:aws:sts::{account}:user/moto"
    plan = write_plan(tmp_path, [change(instance_id, account=account) for instance_id in ids], caller=caller)
    ended = imdsctl("apply", plan, "--yes", url=moto.url)
    assert ended.returncode == 0 and "2 enforced" in ended.stdout and "1 compliant" in ended.stdout, (
        ended.stdout + ended.stderr
    )
    assert all(shown(ec2, instance_id).items() >= CHANGE.items() for instance_id in ids[:2])
    assert shown(ec2, ids[2]) == before[ids[2]]
    ended = imdsctl("restore", journal_of(plan), "--yes", "--allow-loosening", "--policy", lenient, url=moto.url)
    assert (ended.returncode, ended.stdout) == (0, "2 instances: 2 restored\n"), ended.stderr
    assert {instance_id: shown(ec2, instance_id) for instance_id in ids} == before


def shown(ec2, instance_id: str) -> dict:
    """The options that moto keeps."""
    found = describe(ec2, instance_id)[0]["MetadataOptions"]
    return {name: found.get(name) for name in CHANGE}


def boto_account(ec2, instance_id: str) -> str:
    """The account in which moto keeps the instance."""
    answer = ec2.describe_instances(InstanceIds=[instance_id])
    return answer["Reservations"][0]["OwnerId"]
