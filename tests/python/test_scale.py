"""Checks the simulation of bench/scale.py: what must hold in every run, and that docs/scale.md has what it prints."""

import random
import sys
from collections import defaultdict
from dataclasses import replace

import pytest
from cfn import Filled
from processes import ROOT

sys.path.insert(0, str(ROOT / "bench"))
import scale
from scale_clock import Bucket, RateLimiter
from scale_costs import COSTS, PRICES, from_template
from scale_fleet import Size, events, fleet
from scale_model import AccountRegion, Process, World
from scale_queue import Function, Record

SMALL = Size(accounts=40, regions=3, instances=3_000, launches=4_000)
HUB = {"OrganizationId": "o-abcdefghij", "TargetUnits": "ou-ab12-11111111"}


@pytest.mark.parametrize(("is_hub", "parameters"), [(True, HUB), (False, {})])
def test_the_settings_are_those_of_the_template(is_hub, parameters):
    filled = Filled(**parameters)
    functions = filled.of_type("AWS::Serverless::Function")
    for name, settings in from_template(is_hub).items():
        queue, own = functions[name]["Events"]["Queue"]["Properties"], functions[name]
        variables = own["Environment"]["Variables"]
        found = [queue["BatchSize"], queue["ScalingConfig"]["MaximumConcurrency"], own["Timeout"]]
        found += [variables["IMDS_MODIFY_BURST"], variables["IMDS_MODIFY_RATE"]]
        read = [settings.batch, settings.concurrency, settings.timeout, settings.burst, settings.rate]
        assert [float(value) for value in found] == read, name
        assert queue.get("MaximumBatchingWindowInSeconds", 0) == settings.window, name
        shared = filled.template["Globals"]["Function"]
        assert settings.memory == shared["MemorySize"], name


def test_the_prices_are_those_of_the_page_about_cost():
    text = (ROOT / "docs/cost.md").read_text()
    for price in ("$0.20 a million", "$0.0000166667 a GB-second", "$0.40 a million", "$0.50 a GB", "$0.30 each"):
        assert price in text, price
    assert (PRICES["invocation"], PRICES["gb_second"], PRICES["sqs"]) == (0.20e-6, 0.0000166667, 0.40e-6)
    assert (PRICES["log_gb"], PRICES["metric"], PRICES["alarm"], PRICES["dashboard"]) == (0.50, 0.30, 0.10, 3.00)


def test_a_bucket_gives_no_more_than_ec2_does():
    some, bucket, at, taken = random.Random(1), Bucket(100, 5), 0.0, []
    for _ in range(5_000):
        at += some.expovariate(20)
        if bucket.take(at):
            taken.append(at)
    assert_within_rate(taken, 100, 5)
    assert len(taken) == pytest.approx(100 + 5 * at, abs=2), "and no less"


def assert_within_rate(taken: list[float], capacity: float, refill: float):
    """No window has more calls than the burst and what is refilled in it."""
    # The calls from i to j are j - i + 1 <= capacity + refill * (t_j - t_i): their excess over the refill rises by no
    # more than the burst.
    lowest = float("inf")
    for number, at in enumerate(taken):
        excess = number - refill * at
        lowest = min(lowest, excess)
        assert excess - lowest + 1 <= capacity + 1e-6, at


@pytest.mark.parametrize(
    ("ceiling", "burst", "seconds", "expected"),
    # Rows of the tests in engine/src/aws/rate_limit/tests.rs.
    [(4.0, 40, 0.0, 40), (4.0, 40, 5.0, 52), (4.0, 40, 10.0, 70), (4.0, 40, 20.0, 110), (1.0, 10, 80.0, 80)],
)
def test_the_rate_limit_is_that_of_the_function(ceiling, burst, seconds, expected):
    limiter, now, taken = RateLimiter(ceiling, burst, 0.0), 0.0, 0
    while now + limiter.wait(now) <= seconds:
        now += limiter.wait(now)
        limiter.tokens -= 1
        limiter.accepted(now)
        taken += 1
    assert abs(taken - expected) <= 1


def test_a_throttle_halves_the_rate_once_for_all_calls_in_flight():
    limiter = RateLimiter(4.0, 80, 0.0)
    for _ in range(20):
        limiter.throttled(0.0, 0.1)
    assert (limiter.tokens, limiter.rate) == (0.0, 1.0)
    limiter.throttled(0.2, 0.3)
    assert limiter.rate == 0.5


def made(concurrency: int = 20, seed: int = 1) -> tuple[World, Function, list[Record]]:
    """A hub after an hour of events in a small organization."""
    places, weights = fleet(SMALL)
    records = events(places, weights, SMALL.launches * scale.BUSIEST, 1.0, seed)
    world = World(scale.costs(), 0)
    function = Function(world, replace(from_template(True)["Enforcer"], concurrency=concurrency))
    for record in records:
        world.clock.later(record.sent, function.mapping.arrive, record)
    return world, function, records


@pytest.mark.parametrize("seed", range(3))
def test_no_event_is_lost_and_each_instance_is_changed(seed, monkeypatch):
    taken, concurrent = defaultdict(list), []
    modify, invoke = World.modify, Function.invoke

    def watched(world: World, place: AccountRegion) -> bool:
        is_accepted = modify(world, place)
        if is_accepted:
            taken[place].append(world.clock.now)
        return is_accepted

    def watched_invocation(function: Function, batch: list[Record]):
        concurrent.append(function.mapping.running)
        assert 0 < len(batch) <= function.settings.batch
        return invoke(function, batch)

    monkeypatch.setattr(World, "modify", watched)
    monkeypatch.setattr(Function, "invoke", watched_invocation)
    world, function, records = made(seed=seed)
    world.clock.run()

    assert all(record.done is not None and record.done > record.sent for record in records)
    instances = {instance for record in records for instance in record.instances}
    assert all(instance.launched < instance.changed < instance.applied for instance in instances)
    assert world.counts["changes"] >= len(world.launched_to_applied) == len(instances)
    for times in taken.values():
        assert_within_rate(times, COSTS["modify_burst"][0], COSTS["modify_rate"][0])
    assert max(concurrent) == function.mapping.most_running <= function.settings.concurrency
    mapping = function.mapping
    assert (mapping.invocations, [*mapping.waiting, *mapping.gathering], mapping.running) == (len(concurrent), [], 0)
    assert max(world.sts_seconds.values()) <= COSTS["sts_burst"][0]


def test_a_run_is_reproducible():
    first, second = made(), made()
    first[0].clock.run()
    second[0].clock.run()
    assert first[0].launched_to_applied == second[0].launched_to_applied
    assert first[0].counts == second[0].counts


def test_more_processes_never_make_a_round_of_sweeps_longer():
    rounds = [scale.round_of(SMALL, 0.0, 0.0, processes, None)[0].round for processes in (1, 2, 5, 10, 20, 40)]
    for number, took in enumerate(rounds):
        # Once there are enough, one more process has to start.
        assert took <= min(rounds[: number + 1]) + 0.5, rounds
    assert rounds[0] > 3 * rounds[-1]


def test_a_round_of_sweeps_changes_what_the_limit_allows():
    found, places = scale.round_of(SMALL, 0.5, 0.0, 20, None)
    assert not any(place.open for place in places)
    assert found.counts["changes"] == sum(place.open for place in fleet(SMALL, 0.5)[0])
    found, places = scale.round_of(SMALL, 0.5, 0.0, 20, 7)
    expected = fleet(SMALL, 0.5)[0]
    assert [place.open for place in places] == [max(0, place.open - 7) for place in expected]


def test_a_process_keeps_the_sessions_of_cached_clients_alone():
    world = World(scale.costs(), 0)
    process = Process(world, from_template(True)["Enforcer"])
    places = [AccountRegion(number // 2, number % 2) for number in range(600)]
    for place in places:
        process.create(place)
        process.sessions[place.account] = 1.0
    assert list(process.clients) == places[-256:]
    assert process.sessions.keys() == {place.account for place in places[-256:]}


def test_the_document_has_what_the_simulation_prints(capsys):
    scale.main(is_small=True)
    text = (ROOT / "docs/scale.md").read_text()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) > 10
    for row in rows:
        assert row in text, "run bench/scale.py, and update docs/scale.md"
