"""Simulates organizations from one account to 10,000 accounts in 17 Regions, and prints the tables of docs/scale.md.

Usage: scale.py [--small | --costs | --check FUNCTION BINARIES]

--small leaves out the sizes of 1,000 accounts and more. --costs prints what the simulation is fed with, and where each
figure comes from. --check runs the real function with 1,000 accounts in ec2-sim, simulates the same, and fails if they
differ by more than a bound; FUNCTION is the executable, BINARIES the folder with ec2-sim. Run from any folder.

It simulates the busiest hour of a day, with a round of sweeps that begins with it, and an hour of the rest of the day.
Every launched instance needs a change; every hundredth one that a sweep finds does not comply. Runs are reproducible.
"""

import gc
import random
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from scale_costs import ALARMS, COSTS, METRICS, POLLS, PRICES, costs, from_template, spread_of_sweeps, sweeps_a_day
from scale_fleet import BUSIEST, CALLS, HOUR, OPEN, OPEN_AT_FIRST, SIZES, Size, events, fleet
from scale_model import AccountRegion, World
from scale_queue import Function, Record

HUB, REGIONAL, STANDALONE = "one hub", "a hub for each Region", "standalone"


@dataclass
class Found:
    """What happened in a run: of both functions together, or of one of them by name."""

    applied: list[float] = field(default_factory=list)
    concurrency: dict[str, int] = field(default_factory=lambda: {"Enforcer": 0, "Sweeper": 0})
    invocations: Counter = field(default_factory=Counter)
    billed: Counter = field(default_factory=Counter)
    log: Counter = field(default_factory=Counter)
    counts: Counter = field(default_factory=Counter)
    sts: int = 0
    round: float = 0.0

    def add(self, other: "Found") -> None:
        self.applied += other.applied
        for name, most in other.concurrency.items():
            self.concurrency[name] = max(self.concurrency[name], most)
        for name in ("invocations", "billed", "log", "counts"):
            getattr(self, name).update(getattr(other, name))
        self.sts, self.round = max(self.sts, other.sts), max(self.round, other.round)


def run(deployment: str, events: list[Record], sweeps: list[Record], settings: dict, limit: int | None = None) -> Found:
    """One stack: its queues and functions, until all records are done."""
    home = events[0].place.region if events else sweeps[0].place.region
    world = World(costs(), {HUB: 0, REGIONAL: home, STANDALONE: None}[deployment], deployment != STANDALONE)
    functions = {
        "Enforcer": Function(world, settings["Enforcer"]),
        "Sweeper": Function(world, settings["Sweeper"], limit),
    }
    for name, records in (("Enforcer", events), ("Sweeper", sweeps)):
        for record in records:
            world.clock.later(record.sent, functions[name].mapping.arrive, record)
    world.clock.run()
    lost = sum(record.done is None for record in [*events, *sweeps])
    if lost:
        raise RuntimeError(f"{lost} records were lost")
    found = Found(
        applied=[] if not events else world.launched_to_applied, sts=max(world.sts_seconds.values(), default=0)
    )
    found.counts.update(world.counts)
    found.round = max((record.done for record in sweeps), default=0.0)
    for name, function in functions.items():
        found.concurrency[name] = function.mapping.most_running
        found.invocations[name], found.billed[name] = function.mapping.invocations, function.billed
        found.log[name] = log_of(function)
    return found


def log_of(function: Function) -> float:
    """Bytes of log."""
    per, outcomes = costs(), function.outcomes
    size = function.mapping.invocations * (per.log_batch + per.log_lambda)
    size += function.account_regions * (per.log_account + function.settings.is_sweeper * per.log_sweep)
    size += outcomes["account and Region with a change"] * per.log_account_changed
    return size + outcomes["changed"] * per.log_changed + outcomes["compliant"] * per.log_compliant


def stacks(deployment: str, places: list[AccountRegion]) -> dict:
    """Which stack serves each account and Region."""
    if deployment == HUB:
        return dict.fromkeys(places, 0)
    return {place: place.region if deployment == REGIONAL else number for number, place in enumerate(places)}


def hour(size: Size, deployment: str, launches: float, seed: int, has_sweeps: bool, open_share: float = OPEN) -> Found:
    """An hour with so many launches, and maybe a round of sweeps."""
    places, weights = fleet(size, open_share)
    stack_of = stacks(deployment, places)
    is_hub = deployment != STANDALONE
    hops = costs().hop * (2 if is_hub else 1)
    of_stack = defaultdict(lambda: ([], []))
    for record in events(places, weights, launches, hops, seed):
        of_stack[stack_of[record.place]][0].append(record)
    some = random.Random(seed)
    if has_sweeps:
        spread = spread_of_sweeps() if is_hub else 0.0
        for place in places:
            of_stack[stack_of[place]][1].append(Record(place, None, spread * some.random()))
    found, known = Found(), {}
    for some_events, sweeps in of_stack.values():
        key = None
        if not some_events and deployment == STANDALONE:
            # Stacks of the same size without an event do the same.
            key = (sweeps[0].place.instances, sweeps[0].place.open)
        if key is None or key not in known:
            known[key] = run(deployment, some_events, sweeps, from_template(is_hub))
        found.add(known[key])
    return found


def month(size: Size, deployment: str, busiest: Found, quiet: Found) -> tuple[float, float]:
    """GB of log, and dollars, in 30 days."""
    total = {}
    for name in ("invocations", "billed", "log"):
        a, b = getattr(busiest, name), getattr(quiet, name)
        total[name] = 30 * (a["Enforcer"] + 23 * b["Enforcer"] + sweeps_a_day() * a["Sweeper"])
    gigabytes = total["log"] / 1e9
    account_regions = size.accounts * size.regions
    sent = 30 * size.launches * (2 + 1 / sum(count * share for count, share in CALLS.items()))
    sweeps = 30 * sweeps_a_day() * account_regions
    memory = from_template(True)["Enforcer"].memory / 1024
    number = {HUB: 1, REGIONAL: size.regions, STANDALONE: account_regions}[deployment]
    if size.accounts == 1:
        number = 1
    dollars = total["invocations"] * PRICES["invocation"] + total["billed"] * memory * PRICES["gb_second"]
    dollars += (sent + sweeps + 2 * total["invocations"] + number * POLLS) * PRICES["sqs"]
    dollars += gigabytes * PRICES["log_gb"]
    dollars += number * (METRICS * PRICES["metric"] + ALARMS * PRICES["alarm"] + PRICES["dashboard"])
    if deployment != STANDALONE:
        # Forwarded events; a sweep is also sent by a schedule, to a member's own bus. A member has one alarm.
        dollars += (sent + 3 * sweeps) * PRICES["event"] + account_regions * PRICES["alarm"]
    return gigabytes, dollars


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def name(size: Size) -> str:
    return f"{size.accounts:,} × {size.regions}"


def throttled(found: Found) -> str:
    """The share of changes that EC2 throttled."""
    refused = found.counts["throttled"]
    return f"{100 * refused / max(1, found.counts['changes'] + refused):.1f}%"


def row(size: Size, deployment: str) -> list[str]:
    """A line of the first table."""
    busiest = hour(size, deployment, BUSIEST * size.launches, 1, True)
    quiet = hour(size, deployment, (1 - BUSIEST) / 23 * size.launches, 2, False)
    gigabytes, dollars = month(size, deployment, busiest, quiet)
    cells = [name(size), deployment]
    cells += [f"{percentile(busiest.applied, share):.1f}" for share in (0.5, 0.99)]
    cells += [f"{busiest.concurrency['Enforcer']} + {busiest.concurrency['Sweeper']}", f"{busiest.sts}"]
    cells += [throttled(busiest), f"{busiest.round / 60:.0f}", f"{gigabytes:,.0f}", f"${dollars:,.0f}"]
    return cells


HEAD = ["accounts × Regions", "deployment", "launch to applied, s: median", "p99", "processes: Enforcer + Sweeper"]
HEAD += ["STS calls a second, at most", "changes throttled", "round of sweeps, min", "log, GB a month", "cost a month"]


def enforcers(size: Size, processes: int, rate: float) -> list[str]:
    """The busiest hour of a hub with so many Enforcers and this `ModifyRate`."""
    places, weights = fleet(size)
    settings = from_template(True)
    settings["Enforcer"] = replace(settings["Enforcer"], concurrency=processes, rate=rate)
    records = events(places, weights, BUSIEST * size.launches, 2 * costs().hop, 1)
    found = run(HUB, records, [], settings)
    took = [f"{percentile(found.applied, share):,.1f}" for share in (0.5, 0.99)]
    return [name(size), f"{processes}", f"{rate:g}", *took, throttled(found), f"{found.sts}"]


def round_of(size: Size, open_share: float, spread: float, processes: int, limit: int | None):
    """A round of sweeps of a hub with so many Sweepers: what happened, and the accounts and Regions after it."""
    some, (places, _) = random.Random(3), fleet(size, open_share)
    settings = from_template(True)
    settings["Sweeper"] = replace(settings["Sweeper"], concurrency=processes)
    records = [Record(place, None, spread * some.random()) for place in places]
    return run(HUB, [], records, settings, limit), places


def sweeps(size: Size, open_share: float, spread: float, processes: int, limit: int | None) -> list[str]:
    """A line of the third table. Sweeps begin within `spread` seconds."""
    found, _ = round_of(size, open_share, spread, processes, limit)
    begin = f"within {spread / 60:.0f} min" if spread else "at once"
    cells = [name(size), f"{open_share:.0%}", begin, f"{processes}", f"{limit or 'none'}"]
    return [*cells, f"{found.counts['changes']:,}", f"{found.round / 60:.0f}", f"{found.sts}"]


ENFORCERS = [(SIZES[1], processes, rate) for processes, rate in ((2, 4.0), (5, 4.0), (20, 4.0), (20, 1.0))]
ENFORCERS += [(SIZES[2], processes, rate) for processes, rate in ((5, 4.0), (10, 4.0), (20, 4.0), (20, 1.0), (40, 4.0))]
SWEEPS = [
    (SIZES[1], OPEN_AT_FIRST, HOUR, 20, None),
    (SIZES[2], OPEN_AT_FIRST, HOUR, 20, None),
    (SIZES[2], OPEN_AT_FIRST, HOUR, 20, 200),
    (SIZES[3], OPEN, 0.0, 20, None),
    (SIZES[3], OPEN_AT_FIRST, HOUR, 20, None),
    (SIZES[3], OPEN_AT_FIRST, HOUR, 100, None),
]
HEAD_OF_ENFORCERS = ["accounts × Regions", "Enforcers, at most", "ModifyRate", "launch to applied, s: median", "p99"]
HEAD_OF_ENFORCERS += ["changes throttled", "STS calls a second, at most"]
HEAD_OF_SWEEPS = [
    "accounts × Regions",
    "need a change",
    "sweeps begin",
    "Sweepers, at most",
    "changesPerSweep",
    "changes",
]
HEAD_OF_SWEEPS += ["round, min", "STS calls a second, at most"]


def table(head: list[str], rows) -> None:
    print(f"\n| {' | '.join(head)} |\n{'| --- ' * len(head)}|")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def deployments(size: Size) -> list[str]:
    if size.accounts == 1:
        return [STANDALONE]
    return [HUB, STANDALONE] if size.regions <= 2 else [HUB, REGIONAL, STANDALONE]


def main(is_small: bool) -> None:
    # Looking for cycles would take a tenth of the time.
    gc.disable()
    sizes = SIZES[:2] if is_small else SIZES
    table(HEAD, (row(size, deployment) for size in sizes for deployment in deployments(size)))
    table(HEAD_OF_ENFORCERS, (enforcers(*one) for one in ENFORCERS if one[0] in sizes))
    table(HEAD_OF_SWEEPS, (sweeps(*one) for one in SWEEPS if one[0] in sizes))


def print_costs() -> None:
    table(
        ["cost", "value", "source"],
        ([key, f"{value:g} {unit}", source] for key, (value, unit, source) in COSTS.items()),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        # It needs the packages of bench/requirements.txt.
        from scale_check import check

        sys.exit(check(Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()))
    if sys.argv[1:] not in ([], ["--small"], ["--costs"]):
        sys.exit(__doc__)
    print_costs() if sys.argv[1:] == ["--costs"] else main(sys.argv[1:] == ["--small"])
