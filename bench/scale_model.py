"""The model behind scale.py: accounts and Regions, processes of the function, and its work in each of them."""

import random
from collections import Counter, OrderedDict, deque
from types import SimpleNamespace

from scale_clock import Bucket, Clock, Gate, RateLimiter
from scale_costs import (
    ATTEMPTS,
    CACHED,
    CHANGES_AT_ONCE,
    FIRST_PAUSE,
    FRESH_FOR,
    PAGE,
    RENEW_BEFORE,
    RESERVED,
    SESSION,
    Settings,
)


class AccountRegion:
    """An account and Region: its instances, how many of them need a change, and EC2's token buckets."""

    __slots__ = ("account", "region", "instances", "open", "modify", "describe")

    def __init__(self, account: int, region: int, instances: int = 0, open_: int = 0):
        self.account, self.region, self.instances, self.open = account, region, instances, open_
        self.modify = self.describe = None


class Instance:
    """An instance that needs a change, until it has been made."""

    __slots__ = ("launched", "changed", "applied", "attempts")

    def __init__(self, launched: float):
        self.launched, self.changed, self.applied, self.attempts = launched, None, None, 0


class World:
    """AWS, and what is counted of it."""

    def __init__(self, costs: SimpleNamespace, home: int | None = None, is_hub: bool = True, seed: int = 1):
        self.clock, self.costs, self.home, self.is_hub = Clock(), costs, home, is_hub
        self.random = random.Random(seed)
        self.sts = Bucket(costs.sts_burst, costs.sts_rate)
        self.counts, self.sts_seconds, self.launched_to_applied = Counter(), Counter(), []

    def distance(self, region: int) -> float:
        """The time that a call takes longer because it goes to another Region."""
        return self.costs.other_region if self.home is not None and region != self.home else 0.0

    def modify(self, place: AccountRegion) -> bool:
        if place.modify is None:
            place.modify = Bucket(self.costs.modify_burst, self.costs.modify_rate)
        is_accepted = place.modify.take(self.clock.now)
        self.counts["changes" if is_accepted else "throttled"] += 1
        return is_accepted

    def describe(self, place: AccountRegion) -> float:
        """Counts a call, and returns the pause of the SDK if EC2 throttles it."""
        if place.describe is None:
            place.describe = Bucket(self.costs.describe_burst, self.costs.describe_rate)
        self.counts["describes"] += 1
        if place.describe.take(self.clock.now):
            return 0.0
        self.counts["describes throttled"] += 1
        return 1.0

    def change(self, instance: Instance) -> None:
        if instance.changed is None:
            costs = self.costs
            instance.changed = self.clock.now
            instance.applied = self.clock.now + self.random.uniform(costs.applied_least, costs.applied_most)
            self.launched_to_applied.append(instance.applied - instance.launched)


class Process:
    """An execution environment: its share of a core, and what it caches."""

    def __init__(self, world: World, settings: Settings):
        self.world, self.settings = world, settings
        self.slowness = max(1.0, world.costs.mb_of_a_core / settings.memory) / 1000
        self.is_free_at = self.used = world.clock.now
        self.clients: OrderedDict[AccountRegion, RateLimiter] = OrderedDict()
        self.clients_of, self.sessions, self.assuming, self.connections = Counter(), {}, {}, Counter()

    def work(self, milliseconds: float) -> float:
        """Seconds until this work is done, after all work that was given before."""
        spent = milliseconds * self.slowness
        self.is_free_at = max(self.is_free_at, self.world.clock.now) + spent
        return self.is_free_at - self.world.clock.now

    def limiter(self, place: AccountRegion) -> RateLimiter | None:
        """The rate limit of a cached client."""
        limiter = self.clients.get(place)
        if limiter is not None:
            self.clients.move_to_end(place)
        return limiter

    def create(self, place: AccountRegion) -> RateLimiter:
        if len(self.clients) >= CACHED:
            oldest, _ = self.clients.popitem(last=False)
            self.clients_of[oldest.account] -= 1
            if not self.clients_of[oldest.account]:
                self.sessions.pop(oldest.account, None)
        limiter = RateLimiter(self.settings.rate, self.settings.burst, self.world.clock.now)
        self.clients[place] = limiter
        self.clients_of[place.account] += 1
        return limiter

    def connect(self, host: int, distance: float) -> float:
        """Takes a connection. Returns the seconds of a handshake if none is idle."""
        if self.connections[host] > 0:
            self.connections[host] -= 1
            return 0.0
        # TCP and TLS take two round trips.
        return self.work(self.world.costs.cpu_handshake) + 2 * distance


STS = -1


class Work:
    """The work of one process in one account and Region, during one invocation."""

    def __init__(self, process: Process, place: AccountRegion, deadline: float, outcomes: Counter):
        self.process, self.place, self.deadline, self.outcomes = process, place, deadline, outcomes
        self.world, self.costs, self.clock = process.world, process.world.costs, process.world.clock
        self.distance = self.world.distance(place.region)
        self.limiter, self.changes = process.limiter(place), 0

    def enter(self):
        """Creates the client and assumes the role, unless they are cached. Returns whether that succeeded."""
        if self.limiter is None:
            self.limiter = self.process.create(self.place)
            yield self.process.work(self.costs.cpu_client)
        if self.world.is_hub:
            is_assumed = yield from self.assume()
            if not is_assumed:
                return False
        wait = self.process.connect(self.place.region, self.distance)
        if wait:
            yield wait
        return True

    def assume(self):
        """A session for each account and process; calls for several Regions share it."""
        account, sessions, assuming = self.place.account, self.process.sessions, self.process.assuming
        while sessions.get(account, 0.0) <= self.clock.now:
            if account in assuming:
                yield assuming[account]
                if account not in sessions:
                    return False
                continue
            assuming[account] = Gate(self.clock)
            is_assumed = yield from self.ask_sts()
            if is_assumed:
                sessions[account] = self.clock.now + SESSION - RENEW_BEFORE
            assuming.pop(account).open()
            if not is_assumed:
                return False
        return True

    def ask_sts(self):
        """Three attempts, as the function's SDK is set."""
        world, process = self.world, self.process
        wait = process.connect(STS, 0.0)
        for attempt in range(3):
            yield wait + process.work(self.costs.cpu_call) + self.costs.assume
            world.counts["assumptions"] += 1
            world.sts_seconds[int(self.clock.now)] += 1
            if world.sts.take(self.clock.now):
                process.connections[STS] += 1
                return True
            world.counts["assumptions throttled"] += 1
            wait = min(1.0, 2.0**attempt) * world.random.random()
        process.connections[STS] += 1
        return False

    def count(self, compliant: int, changed: int) -> None:
        self.outcomes["compliant"] += compliant
        self.outcomes["changed"] += changed
        self.outcomes["account and Region with a change"] += changed > 0
        self.changes += changed

    def leave(self) -> None:
        self.process.connections[self.place.region] += 1

    def describe(self, instances: int) -> float:
        """Seconds that a description of these instances takes."""
        costs = self.costs
        spent = costs.cpu_call + costs.cpu_instance * instances
        wait = costs.describe + costs.describe_instance * instances + self.distance
        return self.process.work(spent) + self.world.describe(self.place) + wait

    def bring(self, due: list[Instance]):
        """Changes instances in waves, and verifies the changes. Some may be left at the deadline."""
        is_first, left = True, due
        while left and self.clock.now < self.deadline:
            wave = left[: self.limiter.within(FRESH_FOR, self.clock.now)]
            if not is_first:
                yield min(self.limiter.wait(self.clock.now), self.deadline - self.clock.now)
                yield self.describe(len(wave))
                wave = [instance for instance in wave if instance.changed is None]
            is_first = False
            yield from self.send(wave)
            left = [one for one in left if one.changed is None and one.attempts < ATTEMPTS]
        yield from self.verify(due)

    def send(self, wave: list[Instance]):
        """Sends changes as the rate limit allows, at most so many at once, while their description is recent."""
        clock, limiter = self.clock, self.limiter
        until = min(clock.now + FRESH_FOR, self.deadline)
        flight = SimpleNamespace(pending=deque(wave), flying=0, gate=Gate(clock))
        while flight.pending or flight.flying:
            if not flight.pending or flight.flying >= CHANGES_AT_ONCE:
                yield flight.gate
                continue
            wait = limiter.wait(clock.now)
            if clock.now + wait > until:
                flight.pending.clear()
            elif wait > 0:
                yield wait
            else:
                limiter.tokens -= 1.0
                flight.flying += 1
                clock.start(self.modify(flight, flight.pending.popleft(), clock.now))

    def modify(self, flight: SimpleNamespace, instance: Instance, taken: float):
        half = (self.costs.modify + self.distance) / 2
        yield self.process.work(self.costs.cpu_call) + half
        is_accepted = self.world.modify(self.place)
        if is_accepted:
            self.world.change(instance)
        yield half
        if is_accepted:
            self.limiter.accepted(self.clock.now)
        else:
            self.limiter.throttled(taken, self.clock.now)
            instance.attempts += 1
            if instance.attempts < ATTEMPTS:
                yield min(5.0, 0.1 * 2.0 ** (instance.attempts - 1))
                flight.pending.append(instance)
        flight.flying -= 1
        flight.gate.open()

    def verify(self, due: list[Instance]):
        """Describes the changed instances until EC2 has applied all changes, or the time is over."""
        pause, end = FIRST_PAUSE, min(self.clock.now + self.process.settings.verify, max(self.deadline, self.clock.now))
        awaited = [instance for instance in due if instance.changed is not None]
        while awaited:
            at = min(end, self.clock.now + pause)
            yield at - self.clock.now
            yield self.describe(len(awaited))
            awaited = [instance for instance in awaited if instance.applied > self.clock.now]
            if at >= end:
                return
            pause *= 2

    def named(self, instances: list[Instance]):
        """Events: the instances that they name."""
        entered = yield from self.enter()
        if not entered:
            return False
        yield self.describe(len(instances))
        due = [instance for instance in instances if instance.changed is None]
        self.count(len(instances) - len(due), len(due))
        if due:
            yield from self.bring(due)
        self.leave()
        return all(one.changed is not None and one.applied <= self.clock.now for one in due)

    def sweep(self, most: int | None):
        """Every instance, page by page. Of those that need a change, at most so many are changed."""
        entered = yield from self.enter()
        if not entered:
            return False
        place, left, allowed = self.place, self.place.instances, most if most is not None else self.place.instances
        while True:
            page = min(left, PAGE)
            yield self.describe(page)
            left -= page
            # The instances that need a change are spread over the pages.
            found = min(allowed, place.open if left == 0 else round(place.open * page / (left + page)))
            due = [Instance(self.clock.now) for _ in range(found)]
            if due:
                yield from self.bring(due)
            changed = sum(one.changed is not None for one in due)
            place.open, allowed = place.open - changed, allowed - found
            self.count(page - changed, changed)
            if left == 0 or self.clock.now >= self.deadline:
                break
        self.leave()
        return left == 0 and (self.clock.now < self.deadline)


def deadline_of(settings: Settings, now: float) -> float:
    return now + settings.timeout - RESERVED
