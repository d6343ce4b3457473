"""Runs the real function with 1,000 accounts, simulates exactly the same, and compares both; for scale.py.

The queue and the event source mapping are those of the simulation, in real time. The function is a process for each
execution environment, behind a stand-in for Lambda's Runtime API. EC2 and STS are ec2-sim with EC2's token buckets and
with delays. First, calls one by one give the function's own CPU and log on this machine.
"""

import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from runtime_api import Process
from scale_clock import Gate, RealClock
from scale_costs import Settings, costs, from_template
from scale_model import AccountRegion, Instance, World
from scale_queue import Function, Mapping, Record
from simulator import Ec2

ACCOUNTS, REGIONS = 1_000, ("us-east-1", "eu-west-1")
# For the function's own costs: accounts, one by one, and the instances of a sweep.
ALONE, SWEPT = 200, 100
EVENTS = Path(__file__).resolve().parent.parent / "events"
# ec2-sim's delays, in milliseconds, and how long a change takes until it is applied.
DELAYS, APPLY_DELAY = {"AssumeRole": 100, "DescribeInstances": 200, "ModifyInstanceMetadataOptions": 300}, 2_000
# Runs of the function and of the simulation. Which process gets which record is random, and times depend on it.
RUNS, SIMULATIONS = 3, 25
# How much the simulation may differ, of the figure or by this many seconds or calls, whatever is more.
BOUND, LEAST = 0.2, {"s": 0.5, "calls": 20}
FIRST_ACCOUNT = 200_000_000_000


class Fleet:
    """Instances in ec2-sim, and the events of the simulation's records."""

    def __init__(self, ec2: Ec2):
        self.ec2, self.ids = ec2, {}

    def control(self, what: str, body: dict | list) -> dict:
        answer = self.ec2.http.post(f"{self.ec2.url}/_sim/{what}", json=body, timeout=120)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def launch(self, place: AccountRegion, count: int, tokens: str = "optional") -> list[str]:
        body = {"account": str(FIRST_ACCOUNT + place.account), "region": REGIONS[place.region], "count": count}
        return self.control("instances", body | {"options": {"HttpTokens": tokens}})["instanceIds"]

    def delayed(self) -> None:
        self.control("faults", [{"kind": {"delay": ms}, "action": action} for action, ms in DELAYS.items()])

    def event(self, record: Record) -> str:
        """The event of a sweep, or the state change of an instance."""
        name = "imds-enforcer-sweep.json" if record.instances is None else "ec2-state-running.json"
        event = json.loads((EVENTS / name).read_text())
        event |= {"account": str(FIRST_ACCOUNT + record.place.account), "region": REGIONS[record.place.region]}
        event["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if record.instances is not None:
            event["detail"]["instance-id"] = self.ids[record.instances[0]]
        return json.dumps(event)

    def payload(self, batch: list[Record]) -> bytes:
        rows = []
        for number, record in enumerate(batch):
            attributes = {"ApproximateReceiveCount": str(record.receives)}
            rows.append(
                {
                    "eventSource": "aws:sqs",
                    "messageId": str(number),
                    "attributes": attributes,
                    "body": self.event(record),
                }
            )
        return json.dumps({"Records": rows}).encode()

    def calls(self) -> Counter:
        """How many calls there were of each kind, and of changes that EC2 throttled."""
        calls = self.ec2.http.get(f"{self.ec2.url}/_sim/calls", timeout=120).json()
        found = Counter(call["action"] for call in calls)
        found["throttled"] = sum(call["status"] == 503 for call in calls)
        self.ec2.forget()
        return found


class Environments:
    """The function's processes: one that is idle, or a new one."""

    def __init__(self, function: Path, fleet: Fleet, settings: Settings, clock: RealClock, folder: Path, seed: int = 0):
        self.function, self.fleet, self.settings, self.clock, self.folder = function, fleet, settings, clock, folder
        self.idle, self.all, self.lock = [], [], threading.Lock()
        self.world = World(costs(), seed=seed)
        self.world.clock = clock
        self.delays = Function(self.world, settings)
        self.mapping = Mapping(self.world, settings, self.invoke)

    def process(self) -> Process:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        variables = {
            "AWS_ENDPOINT_URL": self.fleet.ec2.url,
            "IMDS_MEMBER_ROLE": "imds-enforcer-member",
            "IMDS_VERIFY_SECONDS": f"{self.settings.verify:.0f}",
            "IMDS_MODIFY_RATE": str(self.settings.rate),
            "IMDS_MODIFY_BURST": str(self.settings.burst),
        }
        process = Process([self.function], variables, folder)
        self.all.append(process)
        return process

    def invoke(self, batch: list[Record]):
        gate, failed, errors = Gate(self.clock), {}, []
        self.clock.outside += 1

        def work():
            try:
                failed.update(self.failures(batch))
            except Exception as error:
                errors.append(error)
            self.clock.ended(gate)

        threading.Thread(target=work, daemon=True).start()
        yield gate
        if errors:
            raise errors[0]
        return failed

    def failures(self, batch: list[Record]) -> dict[Record, float]:
        """Invokes the function. Returns the delays of the records that failed."""
        with self.lock:
            process = self.idle.pop() if self.idle else None
        if process is None:
            process = self.process()
            process.until_poll()
        _, body = process.answer(self.fleet.payload(batch))
        failed = [batch[int(failure["itemIdentifier"])] for failure in json.loads(body)["batchItemFailures"]]
        self.idle.append(process)
        return {record: self.delays.delay(record) for record in failed}

    def stop(self) -> None:
        for process in self.all:
            process.stop()


def of_launches() -> list[Record]:
    """An instance in each account within 20 s, and in four accounts 150 more at once; two events of each instance."""
    some, records = random.Random(7), []
    for number in range(ACCOUNTS):
        place, began = AccountRegion(number, number % 2), 20 * some.random()
        for _ in range(151 if number % 250 == 0 else 1):
            instance = Instance(began + some.random())
            records += [Record(place, [instance], instance.launched), Record(place, [instance], instance.launched + 3)]
    return records


def of_sweeps() -> list[Record]:
    """A sweep of each account within 10 s, of 20 instances. In every tenth one, 5 need a change, in five of them 20."""
    some, records = random.Random(8), []
    for number in range(ACCOUNTS):
        place = AccountRegion(number, number % 2, 20, 0)
        place.open = 20 if number % 200 == 0 else 5 if number % 10 == 0 else 0
        records.append(Record(place, None, 10 * some.random()))
    return records


def figures(records: list[Record], calls: Counter) -> dict[str, tuple[float, str]]:
    took = sorted(record.done - record.sent for record in records)
    found = {"mean of a record": statistics.mean(took), "p99 of a record": took[int(0.99 * len(took))]}
    found["last record done"] = max(record.done for record in records)
    found = {name: (value, "s") for name, value in found.items()}
    return found | {name: (calls[name], "calls") for name in (*DELAYS, "throttled")}


def real(function: Path, fleet: Fleet, settings: Settings, records: list[Record], folder: Path, seed: int) -> dict:
    """Runs the function. Instances are there before the first event."""
    for record in records:
        place = record.place
        if record.instances is None:
            for count, tokens in ((place.open, "optional"), (place.instances - place.open, "required")):
                if count:
                    fleet.launch(place, count, tokens)
        elif record.instances[0] not in fleet.ids:
            (fleet.ids[record.instances[0]],) = fleet.launch(place, 1)
    fleet.calls()
    clock = RealClock()
    environments = Environments(function, fleet, settings, clock, folder, seed)
    try:
        for record in records:
            clock.later(record.sent, environments.mapping.arrive, record)
        clock.run()
    finally:
        environments.stop()
    return figures(records, fleet.calls())


def simulated(settings: Settings, records: list[Record], own: dict[str, float], seed: int) -> dict:
    seconds = {"assume": "AssumeRole", "describe": "DescribeInstances", "modify": "ModifyInstanceMetadataOptions"}
    seconds = {name: DELAYS[action] / 1000 for name, action in seconds.items()}
    here = {"other_region": 0.0, "cpu_handshake": 0.1, "cold_start": 0.0, "mb_of_a_core": settings.memory}
    here |= {"applied_least": APPLY_DELAY / 1000, "applied_most": APPLY_DELAY / 1000, "sts_burst": 1e9}
    world = World(costs(**seconds, **here, **own), seed=seed)
    simulated = Function(world, settings)
    for record in records:
        world.clock.later(record.sent, simulated.mapping.arrive, record)
    world.clock.run()
    names = {"AssumeRole": "assumptions", "DescribeInstances": "describes", "throttled": "throttled"}
    calls = Counter({name: world.counts[counted] for name, counted in names.items()})
    calls["ModifyInstanceMetadataOptions"] = world.counts["changes"] + world.counts["throttled"]
    return figures(records, calls)


def own_costs(function: Path, fleet: Fleet, folder: Path) -> tuple[dict[str, float], dict[str, dict]]:
    """The function's CPU and log, from invocations one by one."""
    settings = replace(from_template(True)["Enforcer"], verify=0.0)
    environments = Environments(function, fleet, settings, RealClock(), folder)
    process = environments.process()
    process.until_poll()
    spent, sizes = {}, {}
    try:
        for kind, records in alone(fleet):
            before, logged = process.cpu(), len(process.logged())
            for record in records:
                record.receives = 1
                process.answer(fleet.payload([record]))
            spent[kind] = 1000 * (process.cpu() - before) / ALONE
            sizes[kind] = log_sizes(process.logged()[logged:])
    finally:
        process.stop()
    # A change in a known account has two calls more than a compliant instance. A new account has one more than that,
    # and a client.
    call = (spent["known account"] - spent["compliant"]) / 2
    own = {"cpu_call": call, "cpu_invocation": spent["compliant"] - call}
    own["cpu_client"] = max(0.0, spent["new account"] - spent["known account"] - call)
    own["cpu_instance"] = (spent["sweep"] - spent["compliant"]) / (SWEPT - 1)
    return own, sizes


def alone(fleet: Fleet):
    """Kinds of events, each in many accounts: the first change, another one, a compliant instance, and a sweep."""
    places = [AccountRegion(ACCOUNTS + number, 0) for number in range(ALONE)]
    for kind in ("new account", "known account"):
        records = [Record(place, [Instance(0.0)], 0.0) for place in places]
        fleet.ids |= {record.instances[0]: fleet.launch(record.place, 1)[0] for record in records}
        yield kind, records
    yield "compliant", records
    for place in places:
        fleet.launch(place, SWEPT - 2, "required")
    yield "sweep", [Record(place, None, 0.0) for place in places]


def log_sizes(text: str) -> dict[str, float]:
    """Bytes of the log for each invocation: of outcomes, of the last line, and of metrics."""
    found = Counter()
    for line in text.splitlines():
        kind = "outcome" if '"outcome"' in line else "metrics" if '"_aws"' in line else "batch done"
        found[kind] += len(line) + 1
    return {kind: size / ALONE for kind, size in found.items()}


def medians(runs: list[dict]) -> dict[str, tuple[float, str]]:
    return {name: (statistics.median(run[name][0] for run in runs), unit) for name, (_, unit) in runs[0].items()}


def compare(title: str, there: dict, here: dict) -> list[str]:
    """Prints both, and returns what differs by too much."""
    print(f"\n| {title} | function | simulation | difference |\n| --- | --- | --- | --- |")
    errors = []
    for name, (value, unit) in there.items():
        difference = here[name][0] - value
        both = (f"{one:,.2f}" if unit == "s" else f"{one:,.0f}" for one in (value, here[name][0]))
        print(f"| {name}, {unit} | {' | '.join(both)} | {difference / max(value, 1e-9):+.0%} |")
        if abs(difference) > max(BOUND * value, LEAST[unit]):
            errors.append(f"{title}: {name} differs by {difference:+.2f}, more than {BOUND:.0%}")
    return errors


def check(function: Path, binaries: Path) -> int:
    settings, errors = from_template(True), []
    with tempfile.TemporaryDirectory() as temporary:
        with Ec2(binaries, "--realistic") as ec2:
            own, logs = own_costs(function, Fleet(ec2), Path(temporary))
        for kind, sizes in logs.items():
            print(f"log, {kind}: {', '.join(f'{part} {size:,.0f} bytes' for part, size in sizes.items())}")
        print(", ".join(f"{name} {value:.3f} ms" for name, value in own.items()))
        for title, name, made in (("launches", "Enforcer", of_launches), ("sweeps", "Sweeper", of_sweeps)):
            there, here = [], [simulated(settings[name], made(), own, seed) for seed in range(SIMULATIONS)]
            for seed in range(RUNS):
                with Ec2(binaries, "--buckets", apply_delay=APPLY_DELAY) as ec2:
                    fleet = Fleet(ec2)
                    fleet.delayed()
                    folder = Path(tempfile.mkdtemp(dir=temporary))
                    there.append(real(function, fleet, settings[name], made(), folder, seed))
            errors += compare(title, medians(there), medians(here))
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return 1 if errors else 0
