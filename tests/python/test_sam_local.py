"""`sam local invoke` as a user runs it: the built function in a container of a real Docker engine, EC2 outside."""

import json
import subprocess
from ipaddress import ip_network

import pytest
import sample_events
from conftest import ec2_client
from documents import Commands, commands
from ec2_words import options, running, wait_for_state
from processes import ROOT, Ec2Sim, free_port, settings, until


def bridge() -> str:
    """The address at which containers reach this machine: the first of the bridge's network."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, f"a Docker engine is needed: {ended.stderr}"
    return str(ip_network(ended.stdout.strip())[1])


@pytest.fixture
def sim(start) -> Ec2Sim:
    """An EC2 that is reachable from containers."""
    return start(Ec2Sim, "--listen", f"{bridge()}:0", "--apply-delay", "300", "--start-delay", "50")


def run(command: list) -> subprocess.CompletedProcess:
    """Runs sam. Retries once if it hangs, as it sometimes does when it first builds the image."""
    more = {"env": settings(SAM_CLI_TELEMETRY="0"), "cwd": ROOT, "capture_output": True, "text": True}
    try:
        return subprocess.run(command, timeout=90, **more)
    except subprocess.TimeoutExpired as hung:
        print(f"sam hung: {hung.stderr}")
        return subprocess.run(command, timeout=180, **more)


def sam_local(function: str, event: dict, tmp_path, sim: Ec2Sim, log: str, mode: str | None = "enforce") -> dict:
    """What the function answers to the event; its EC2 is the simulator. No mode: the template's default."""
    (tmp_path / "event.json").write_text(json.dumps(event))
    port = sim.url.rsplit(":", 1)[1]
    variables = {function: {"AWS_ENDPOINT_URL_EC2": f"http://host.docker.internal:{port}"}}
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    command = ["sam", "local", "invoke", function, "--event", tmp_path / "event.json", "--skip-pull-image"]
    command += ["--env-vars", tmp_path / "variables.json", "--add-host", f"host.docker.internal:{bridge()}"]
    if mode:
        command += ["--parameter-overrides", f"Mode={mode}"]
    ended = run(command)
    print(ended.stderr)
    if log not in ended.stderr:
        # After a very short invocation, sam may stop the container before it has read the log.
        ended = run(command)
        print(ended.stderr)
    assert ended.returncode == 0
    assert log in ended.stderr, "the function's log"
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["ec2-launch-one", "ec2-state-stopped", "ec2-modify-options", "tag-change"])
def test_files_of_events(sim, tmp_path, name):
    ec2 = ec2_client(sim.url)
    ids = running(ec2)
    if name == "ec2-state-stopped":
        ec2.stop_instances(InstanceIds=ids)
        wait_for_state(ec2, ids[0], "stopped")
    answer = sam_local("Enforcer", sample_events.about(name, ids), tmp_path, sim, '"outcome":"enforced"')
    assert answer["counts"] == {"enforced": 1}, answer
    assert options(ec2, ids[0])["HttpTokens"] == "required"


def test_a_sweep(sim, tmp_path):
    ec2 = ec2_client(sim.url)
    ids = running(ec2, 3)
    event = sample_events.batch(json.dumps(sample_events.about("events-scheduled", [])))
    assert sam_local("Sweeper", event, tmp_path, sim, '"SweepsDone":1') == {"batchItemFailures": []}
    assert {options(ec2, instance_id)["HttpTokens"] for instance_id in ids} == {"required"}


def test_nothing_is_changed_unless_the_mode_says_so(sim, tmp_path):
    ec2 = ec2_client(sim.url)
    ids = running(ec2)
    event = sample_events.about("ec2-state-running", ids)
    answer = sam_local("Enforcer", event, tmp_path, sim, '"outcome":"would-enforce"', mode=None)
    assert (answer["mode"], answer["counts"]) == ("dry-run", {"would-enforce": 1}), answer
    assert options(ec2, ids[0])["HttpTokens"] == "optional"


def test_an_event_of_something_else(sim, tmp_path):
    answer = sam_local("Enforcer", json.loads(sample_events.text("s3-unrelated")), tmp_path, sim, "batch done")
    assert answer["counts"] == {} and len(answer["ignored"]) == 1


def test_the_commands_of_the_documentation(start):
    server, client = commands("docs/local.md", "The function in a container")
    # The image exists already, and a registry may be unreachable.
    skip = {"sam local invoke": "sam local invoke --skip-pull-image"}
    instead = {"172.17.0.1": bridge(), "4566": str(free_port())} | skip
    sim = start(Commands, server, instead)
    until("ec2-sim", lambda: "listens on" in sim.output())
    printed = start(Commands, client, instead).succeeded(within=180)
    assert '"outcome":"enforced"' in printed, printed
