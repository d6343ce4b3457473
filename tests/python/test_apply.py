"""imdsctl apply: a plan, and instances that are changed only as it says."""

import json
import os
import random
import resource
import signal
import stat
import subprocess
import time
from datetime import timedelta

import pytest
from conftest import ec2_client
from ec2_words import describe, launch, options, wait_for_state
from fleet import (
    BEFORE,
    CHANGE,
    HOSTILE,
    POLICY,
    change,
    changed,
    environment,
    imdsctl,
    journal_lines,
    journal_of,
    old,
    on_terminal,
    outcomes,
    started,
    write_plan,
)
from processes import ACCOUNT, Ec2Sim, program, until


@pytest.fixture
def sim(start) -> Ec2Sim:
    return start(Ec2Sim, "--apply-delay", "100")


@pytest.fixture
def ec2(sim):
    return ec2_client(sim.url)


def plan_of(folder, ids: list[str], **more):
    return write_plan(folder, [change(instance_id) for instance_id in ids], **more)


def test_a_plan_is_applied_once(sim, ec2, tmp_path):
    ids = old(sim, 30, **BEFORE)
    plan = plan_of(tmp_path, ids)

    ended = imdsctl("apply", plan, "--yes", url=sim.url)

    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert ended.stdout.splitlines()[-1] == "30 instances: 30 enforced"
    assert "i-" not in ended.stdout, "what went well is not told one by one"
    assert all(options(ec2, instance_id).items() >= CHANGE.items() for instance_id in ids)
    assert sorted(changed(sim)) == sorted(ids)
    assert stat.S_IMODE(journal_of(plan).stat().st_mode) == 0o600
    kinds = [line["kind"] for line in journal_lines(plan)]
    assert kinds[:2] == ["journal", "run"]
    assert [kinds.count(kind) for kind in ("intention", "result", "outcome")] == [30, 30, 30]

    sim.forget_calls()
    again = imdsctl("apply", plan, "--yes", url=sim.url)
    assert (again.returncode, sim.calls("ModifyInstanceMetadataOptions")) == (0, []), again.stdout
    assert "30 changes are done already" in again.stdout


def test_the_intention_is_in_the_journal_before_the_call(sim, tmp_path):
    (instance_id,) = old(sim, 1, **BEFORE)
    plan = plan_of(tmp_path, [instance_id])
    sim.fault(kind={"delay": 3000}, action="ModifyInstanceMetadataOptions")
    process = started("apply", plan, "--yes", url=sim.url)
    until("a call", lambda: changed(sim))
    (intention,) = journal_lines(plan, "intention")
    assert (intention["before"], intention["change"]) == (BEFORE, CHANGE)
    assert journal_lines(plan, "result") == [], "the answer is under way"
    assert process.wait(30) == 0


KILLS = 10
INSTANCES = 2000


def test_a_run_that_is_killed_again_and_again_changes_each_instance_once(start, tmp_path):
    seed = int(os.environ.get("APPLY_SEED", random.randrange(2**32)))
    print(f"APPLY_SEED={seed}")
    chance = random.Random(seed)
    sim = start(Ec2Sim, "--apply-delay", "50")
    ids = old(sim, INSTANCES, **BEFORE)
    plan = plan_of(tmp_path, ids)
    journal, kills, code = journal_of(plan), 0, None
    while code is None:
        process = started("apply", plan, "--yes", url=sim.url, IMDS_MODIFY_RATE="300")
        if kills == KILLS:
            output, errors = process.communicate(timeout=60)
            code = process.returncode
            assert code == 0, output + errors
            break
        size = journal.stat().st_size if journal.exists() else 0
        until("progress", lambda size=size: journal.exists() and journal.stat().st_size > size + 1000)
        # Some kills fall between a call and its result, others while instances are described.
        time.sleep(chance.uniform(0, 0.35))
        process.kill()
        process.communicate()
        kills += 1
        code = None if process.returncode == -signal.SIGKILL else process.returncode
        journal_lines(plan)
    assert kills == KILLS, f"seed {seed}: only {kills} kills, as the run was too fast"
    calls = changed(sim)
    assert sorted(calls) == sorted(ids), f"seed {seed}: {len(calls)} changes of {len(set(calls))} instances"
    assert set(outcomes(plan).values()) == {"enforced"} and len(outcomes(plan)) == INSTANCES
    ec2 = ec2_client(sim.url)
    shown = [describe(ec2, *ids[begin : begin + 200]) for begin in range(0, INSTANCES, 200)]
    for instance in sum(shown, []):
        assert instance["MetadataOptions"].items() >= CHANGE.items(), f"seed {seed}: {instance['InstanceId']}"


def test_what_changed_since_the_plan_is_left_and_named(sim, ec2, tmp_path):
    same, by_option, by_value, by_tag, exempt, terminated, compliant = old(sim, 7, **BEFORE)
    policy = POLICY | {
        "rules": [{"name": "legacy", "when": {"tags": {"App": "legacy"}}, "exempt": {"until": "2999-12-31"}}],
    }
    plan = plan_of(tmp_path, [same, by_option, by_value, by_tag, exempt, terminated, compliant], policy=policy)
    ec2.modify_instance_metadata_options(InstanceId=by_option, HttpTokens="required")
    ec2.modify_instance_metadata_options(InstanceId=by_value, HttpPutResponseHopLimit=1)
    ec2.create_tags(Resources=[by_tag], Tags=[{"Key": "imds:HttpPutResponseHopLimit", "Value": "1"}])
    ec2.create_tags(Resources=[exempt], Tags=[{"Key": "App", "Value": "legacy"}])
    ec2.terminate_instances(InstanceIds=[terminated])
    wait_for_state(ec2, terminated, "terminated")
    ec2.modify_instance_metadata_options(InstanceId=compliant, **CHANGE)
    sim.forget_calls()

    ended = imdsctl("apply", plan, "--yes", url=sim.url)

    assert (ended.returncode, ended.stderr) == (1, ""), ended.stdout
    assert changed(sim) == [same]
    since = "changed-since-plan"
    expected = {same: "enforced", compliant: "compliant"}
    assert outcomes(plan) == dict.fromkeys([by_option, by_value, by_tag, exempt, terminated], since) | expected
    told = " ".join(ended.stdout.split())
    for reason in (
        "changed since the plan: HttpTokens=required is not due",
        "changed since the plan: HttpPutResponseHopLimit=2 is not due",
        "changed since the plan: HttpPutResponseHopLimit=1 is due, not 2",
        "changed since the plan: HttpTokens=required, HttpPutResponseHopLimit=2 is not due",
        'rule "legacy" exempts the instance through 2999-12-31',
        "changed since the plan: the instance must not be changed",
        "the instance is terminated",
    ):
        assert reason in told, f"{reason} is not in {told}"
    assert "5 instances are left" in told


def test_an_instance_that_uses_imdsv1_since_the_plan_is_left(sim, tmp_path):
    unused, used = old(sim, 2, HttpTokens="optional")
    for instance_id, calls in ((unused, 0), (used, 7)):
        sim.publish_days("MetadataNoToken", [instance_id], calls)
    tokens = {"before": {"HttpTokens": "optional"}, "change": {"HttpTokens": "required"}}
    policy = {"baseline": {"HttpTokens": "required"}, "usageGate": {}}
    plan = write_plan(tmp_path, [change(unused, **tokens), change(used, **tokens)], policy=policy)

    ended = imdsctl("apply", plan, "--yes", url=sim.url)

    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert (changed(sim), outcomes(plan)) == ([unused], {unused: "enforced", used: "changed-since-plan"})
    told = " ".join(ended.stdout.split())
    assert "held back" in told and "calls without a token in 14 days" in told, told


def test_an_instance_that_was_changed_back_is_not_changed_again(sim, ec2, tmp_path):
    ids = old(sim, 2, **BEFORE)
    plan = plan_of(tmp_path, ids)
    assert imdsctl("apply", plan, "--yes", url=sim.url).returncode == 0
    ec2.modify_instance_metadata_options(InstanceId=ids[0], HttpTokens="optional")
    journal = journal_of(plan)
    # As if the run had been killed before it could verify.
    kept = [line for line in journal.read_text().splitlines() if '"kind":"outcome"' not in line]
    journal.write_text("\n".join(kept) + "\n")
    sim.forget_calls()

    ended = imdsctl("apply", plan, "--yes", url=sim.url)

    assert (ended.returncode, changed(sim)) == (1, []), ended.stdout
    assert outcomes(plan) == {ids[0]: "changed-since-plan", ids[1]: "enforced"}
    assert "HttpTokens=required was set before and is due again" in " ".join(ended.stdout.split())


def test_an_answer_that_was_lost_is_found(sim, tmp_path):
    ids = old(sim, 5, **BEFORE)
    plan = plan_of(tmp_path, ids)
    sim.fault(kind="malformed", action="ModifyInstanceMetadataOptions", when="always")
    first = imdsctl("apply", plan, "--yes", url=sim.url)
    sim.control("DELETE", "faults")
    sim.forget_calls()
    second = imdsctl("apply", plan, "--yes", url=sim.url)
    assert (second.returncode, changed(sim)) == (0, []), first.stdout + second.stdout
    assert set(outcomes(plan).values()) == {"enforced"}


def test_one_option_that_a_permission_denies_does_not_stop_the_other(sim, ec2, tmp_path):
    (instance_id,) = old(sim, 1, **BEFORE)
    plan = plan_of(tmp_path, [instance_id])
    sim.fault(kind="deny", parameter=["HttpPutResponseHopLimit", "2"], when="always")
    assert imdsctl("apply", plan, "--yes", url=sim.url).returncode == 1
    assert options(ec2, instance_id).items() >= {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}.items()
    sim.control("DELETE", "faults")
    assert imdsctl("apply", plan, "--yes", url=sim.url).returncode == 0, "what remains of the plan is sent"
    assert options(ec2, instance_id).items() >= CHANGE.items()


def test_one_option_that_ec2_refuses_is_not_reported_as_done(sim, ec2, tmp_path):
    (instance_id,) = old(sim, 1, **BEFORE)
    plan = plan_of(tmp_path, [instance_id])
    refused = {"code": "UnsupportedOperation", "status": 400, "message": "no hops"}
    sim.fault(kind={"error": refused}, parameter=["HttpPutResponseHopLimit", "2"], when="always")
    for _ in range(2):
        ended = imdsctl("apply", plan, "--yes", url=sim.url)
        assert (ended.returncode, outcomes(plan)) == (1, {instance_id: "blocked"}), ended.stdout
        assert "UnsupportedOperation" in ended.stdout
        assert options(ec2, instance_id).items() >= {"HttpTokens": "required", "HttpPutResponseHopLimit": 3}.items()
    sim.control("DELETE", "faults")
    assert imdsctl("apply", plan, "--yes", url=sim.url).returncode == 0, "what remains of the plan is sent"
    assert options(ec2, instance_id).items() >= CHANGE.items()


def test_a_second_run_at_the_same_time_says_who_runs_the_first(sim, tmp_path):
    plan = plan_of(tmp_path, old(sim, 1, **BEFORE))
    sim.fault(kind={"delay": 3000}, action="ModifyInstanceMetadataOptions")
    first = started("apply", plan, "--yes", url=sim.url)
    until("a call", lambda: changed(sim))
    second = imdsctl("apply", plan, "--yes", url=sim.url)
    assert second.returncode == 2 and f"process {first.pid} of arn:aws:" in second.stderr, second.stderr
    restore = imdsctl("restore", journal_of(plan), "--yes", url=sim.url)
    assert restore.returncode == 2 and f"process {first.pid} of arn:aws:" in restore.stderr, restore.stderr
    assert first.wait(30) == 0
    assert len(changed(sim)) == 1


def test_a_torn_line_of_the_journal_is_ignored(sim, tmp_path):
    ids = old(sim, 3, **BEFORE)
    plan = plan_of(tmp_path, ids)
    assert imdsctl("apply", plan, "--yes", "--max-changes", "1", url=sim.url).returncode == 1
    with journal_of(plan).open("ab") as journal:
        journal.write(b'{"kind":"intention","at":"2026-')
    ended = imdsctl("apply", plan, "--yes", url=sim.url)
    assert ended.returncode == 0, ended.stderr
    assert sorted(changed(sim)) == sorted(ids)
    assert len(journal_lines(plan, "run")) == 2, "every line can be read"


def test_a_disk_that_is_full_stops_the_changes(sim, tmp_path):
    ids = old(sim, 100, **BEFORE)
    plan = plan_of(tmp_path, ids)

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [program("IMDSCTL_BIN", "the built imdsctl"), "apply", plan, "--yes"]
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    ended = subprocess.run(command, env=environment(sim.url), preexec_fn=limited, timeout=60, **pipes)
    assert ended.returncode == 2 and "cannot be written: File too large" in ended.stderr, ended.stderr
    made = changed(sim)
    assert 0 < len(made) < 100
    assert set(made) <= {line["instanceId"] for line in journal_lines(plan, "intention")}, "no change is unknown"
    again = imdsctl("apply", plan, "--yes", url=sim.url)
    assert (again.returncode, sorted(changed(sim))) == (0, sorted(ids)), again.stdout + again.stderr


def test_a_plan_that_was_changed_is_refused(sim, tmp_path):
    ids = old(sim, 2, **BEFORE)
    plan = plan_of(tmp_path, ids)
    assert imdsctl("apply", plan, "--yes", "--max-changes", "1", url=sim.url).returncode == 1
    plan.write_text(plan.read_text().replace('"web"', '"shop"'))
    ended = imdsctl("apply", plan, "--yes", url=sim.url)
    assert ended.returncode == 2 and "is the journal of another plan" in ended.stderr, ended.stderr
    assert len(changed(sim)) == 1


def test_a_plan_that_is_old_or_from_the_future_is_refused(sim, tmp_path):
    ids = old(sim, 1, **BEFORE)
    for hours, message in ((25, "is 25 hours old, more than 24"), (-2, "in the future")):
        plan = plan_of(tmp_path, ids, age=timedelta(hours=hours))
        ended = imdsctl("apply", plan, "--yes", url=sim.url)
        assert ended.returncode == 2 and message in ended.stderr, ended.stderr
    plan = plan_of(tmp_path, ids, age=timedelta(hours=25))
    assert imdsctl("apply", plan, "--yes", "--stale", url=sim.url).returncode == 0
    assert changed(sim) == ids


def test_what_cannot_be_applied_is_refused_before_anything_is_asked(sim, tmp_path):
    (instance_id,) = old(sim, 1, **BEFORE)
    other = write_plan(tmp_path, [change(instance_id, account="444455556666")])
    rows = [
        ("", "", {}, "a role is missing: account 444455556666"),
        ("444455556666", ACCOUNT, {"access_key": "444455556666"}, "credentials of account 111122223333"),
        ("444455556666", ACCOUNT, {"AWS_ACCESS_KEY_ID": ""}, "no usable AWS credentials"),
        ('"HttpTokens": "required"', '"HttpTokens": "on"', {}, "line 2, column"),
        (instance_id, "i-*", {}, '"i-*" is not an instance id'),
    ]
    text = other.read_text()
    for part, replacement, more, message in rows:
        plan = tmp_path / "other.json"
        plan.write_text(text.replace(part, replacement) if part else text)
        ended = imdsctl("apply", plan, "--yes", url=sim.url, **more)
        assert (ended.returncode, message in ended.stderr) == (2, True), f"{message}: {ended.stderr}"
        assert not journal_of(plan).exists(), message
    empty = write_plan(tmp_path, [])
    nothing = imdsctl("apply", empty, url=sim.url)
    assert (nothing.returncode, "there is nothing to do" in nothing.stdout) == (0, True), nothing.stderr
    assert sim.calls("ModifyInstanceMetadataOptions") == []


def test_without_a_terminal_it_does_not_ask(sim, tmp_path):
    plan = plan_of(tmp_path, old(sim, 1, **BEFORE))
    for stdin in (None, "yes\n"):
        ended = imdsctl("apply", plan, url=sim.url, stdin=stdin)
        assert ended.returncode == 2 and "use --yes" in ended.stderr, ended.stderr
    assert changed(sim) == []


def test_on_a_terminal_only_yes_is_accepted(sim, tmp_path):
    ids = old(sim, 3, **BEFORE)
    plan = plan_of(tmp_path, ids)
    for answer in ("", "y", "no"):
        code, seen = on_terminal("apply", plan, url=sim.url, answer=answer)
        assert code == 1 and 'Apply 3 changes in 1 account? Only "yes" is accepted:' in seen, seen
        assert "Nothing was changed." in seen and not journal_of(plan).exists(), seen
    code, seen = on_terminal("apply", plan, url=sim.url, answer="yes")
    assert code == 0 and "3 instances: 3 enforced" in seen, seen
    assert sorted(changed(sim)) == sorted(ids)


def test_ctrl_c_lets_the_calls_in_flight_end(sim, tmp_path):
    ids = old(sim, 300, **BEFORE)
    plan = plan_of(tmp_path, ids)
    sim.fault(kind={"delay": 1000}, action="ModifyInstanceMetadataOptions", when="always")
    process = started("apply", plan, "--yes", url=sim.url)
    until("a call", lambda: changed(sim))
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    made = changed(sim)
    assert (process.returncode, len(made) < 100) == (1, True), output + errors
    assert "no more changes are sent" in errors
    left = f"{300 - len(made)} instances are left: the run was interrupted. The same command goes on"
    assert left in output, output
    accepted = [line["instanceId"] for line in journal_lines(plan, "result") if line["result"] == "accepted"]
    assert sorted(accepted) == sorted(made), "the journal is complete"
    sim.control("DELETE", "faults")
    assert imdsctl("apply", plan, "--yes", url=sim.url).returncode == 0
    assert sorted(changed(sim)) == sorted(ids)


def test_ctrl_c_sends_nothing_that_waits_for_the_rate_limit(sim, tmp_path):
    plan = plan_of(tmp_path, old(sim, 50, **BEFORE))
    slow = {"IMDS_MODIFY_RATE": "4", "IMDS_MODIFY_BURST": "5"}
    process = started("apply", plan, "--yes", url=sim.url, **slow)
    until("a change after the burst", lambda: len(changed(sim)) > 5)
    process.send_signal(signal.SIGINT)
    while "no more changes are sent" not in process.stderr.readline():
        pass
    made = len(changed(sim))
    assert process.wait(60) == 1
    assert len(changed(sim)) <= made + 1, "one may have been in flight"


def test_a_second_ctrl_c_ends_at_once(sim, tmp_path):
    plan = plan_of(tmp_path, old(sim, 1, **BEFORE))
    sim.fault(kind={"hang": 60000}, action="ModifyInstanceMetadataOptions")
    process = started("apply", plan, "--yes", url=sim.url)
    until("an intention", lambda: journal_of(plan).exists() and journal_lines(plan, "intention"))
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the call is in flight"
    process.send_signal(signal.SIGINT)
    assert process.wait(2) == 130


def test_max_changes_limits_a_run(sim, tmp_path):
    ids = old(sim, 250, **BEFORE)
    plan = plan_of(tmp_path, ids)
    ended = imdsctl("apply", plan, "--yes", "--max-changes", "7", url=sim.url)
    assert (ended.returncode, len(changed(sim))) == (1, 7), ended.stdout
    assert "243 instances are left: this run changes at most 7 instances (--max-changes)." in ended.stdout
    assert "i-" not in ended.stdout, "the instances that are deferred are not told one by one"
    assert imdsctl("apply", plan, "--yes", url=sim.url).returncode == 0
    assert sorted(changed(sim)) == sorted(ids)


def test_credentials_that_expire_end_the_run(sim, tmp_path):
    ids = old(sim, 500, **BEFORE)
    plan = plan_of(tmp_path, ids)
    expired = {"code": "RequestExpired", "status": 400, "message": "Request has expired."}
    process = started("apply", plan, "--yes", url=sim.url, IMDS_MODIFY_RATE="50")
    until("some calls", lambda: len(changed(sim)) > 20)
    sim.fault(kind={"error": expired}, when="always")
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 2, output
    assert errors == "imdsctl: renew the credentials and run the command again\n"
    assert len(sim.calls("ModifyInstanceMetadataOptions")) - len(changed(sim)) <= 40, (
        "only calls in flight were refused"
    )
    sim.control("DELETE", "faults")
    assert imdsctl("apply", plan, "--yes", url=sim.url).returncode == 0
    assert sorted(changed(sim)) == sorted(ids)


def test_hostile_names_do_nothing(sim, ec2, tmp_path):
    (instance_id,) = old(sim, 1, **BEFORE)
    key = {"Key": "imds:HttpPutResponseHopLimit", "Value": HOSTILE}
    ec2.create_tags(Resources=[instance_id], Tags=[key])
    plan = write_plan(tmp_path, [change(instance_id, name=HOSTILE, change={"HttpTokens": "required"})])
    ended = imdsctl("apply", plan, "--yes", url=sim.url)
    assert ended.returncode == 1, ended.stderr
    for text in (ended.stdout, journal_of(plan).read_text()):
        assert "\x1b" not in text and "\u202e" not in text, repr(text)
    assert "cmd|" in ended.stdout
    assert not list(tmp_path.glob("**/hacked"))


def test_accounts_and_regions_are_applied_together(sim, tmp_path):
    changes, ids = [], {}
    for account in (ACCOUNT, "444455556666"):
        for region in ("us-east-1", "eu-west-1"):
            body = {
                "account": account,
                "region": region,
                "count": 5,
                "firstRan": 86400 * 90,
                "options": stringly(BEFORE),
            }
            ids[account, region] = sim.control("POST", "instances", body)["instanceIds"]
            changes += [change(id, account=account, region=region) for id in ids[account, region]]
    plan = write_plan(tmp_path, changes, role="imds-enforcer-member")
    ended = imdsctl("apply", plan, "--yes", url=sim.url)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert "20 changes in 2 accounts" in ended.stdout
    for (account, region), of_one in ids.items():
        ec2 = ec2_client(sim.url, account, region)
        assert all(shown["MetadataOptions"].items() >= CHANGE.items() for shown in describe(ec2, *of_one))


def stringly(values: dict) -> dict:
    """Options as the controls of ec2-sim have them."""
    return {name: str(value) for name, value in values.items()}


def test_a_journal_that_is_damaged_is_refused(sim, tmp_path):
    plan = plan_of(tmp_path, old(sim, 1, **BEFORE))
    assert imdsctl("apply", plan, "--yes", url=sim.url).returncode == 0
    lines = journal_of(plan).read_text().splitlines()
    journal_of(plan).write_text("\n".join([*lines[:2], "{}", *lines[3:]]) + "\n")
    ended = imdsctl("apply", plan, "--yes", url=sim.url)
    assert ended.returncode == 2 and "line 3 is damaged" in ended.stderr, ended.stderr
    assert json.loads(lines[0])["kind"] == "journal"


def test_a_plan_without_the_use_of_instances_is_not_complete(sim, tmp_path):
    old(sim, 2, **BEFORE)
    sim.fault(kind="internal-error", when="always")
    plan = tmp_path / "plan.json"
    ended = imdsctl("plan", "--output", plan, url=sim.url)
    assert ended.returncode == 2 and "2 instances are not decided on" in ended.stdout, ended.stdout + ended.stderr
    assert "There is nothing to change." not in ended.stdout
    assert json.loads(plan.read_text())["complete"] is False


def test_plan_apply_and_plan_again(sim, ec2, tmp_path):
    loose = old(sim, 12, **BEFORE) + launch(ec2, 1, options=BEFORE, tags={"Name": HOSTILE.replace("\n", "")})
    old(sim, 3, **CHANGE)
    policy, plan = tmp_path / "policy.json", tmp_path / "plan.json"
    policy.write_text(json.dumps(POLICY))
    planned = imdsctl("plan", "--policy", policy, "--output", plan, url=sim.url)
    assert planned.returncode == 1, planned.stdout + planned.stderr
    ended = imdsctl("apply", plan, "--yes", url=sim.url)
    assert ended.returncode == 0 and "13 instances: 13 enforced" in ended.stdout, ended.stdout + ended.stderr
    assert sorted(changed(sim)) == sorted(loose)
    again = imdsctl("plan", "--policy", policy, "--output", tmp_path / "again.json", url=sim.url)
    assert again.returncode == 0, again.stdout + again.stderr
