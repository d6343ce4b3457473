"""The queue, the event source mapping and the invocations of a function, for scale.py."""

from collections import Counter, deque

from scale_clock import Gate
from scale_costs import FIRST_DELAY, JITTER, LONGEST_DELAY, Settings
from scale_model import AccountRegion, Instance, Process, Work, World, deadline_of


class Record:
    """A message: the event of instances, or of a sweep if it names none."""

    __slots__ = ("place", "instances", "sent", "receives", "done", "body")

    def __init__(self, place: AccountRegion, instances: list[Instance] | None, sent: float, body: str = ""):
        self.place, self.instances, self.sent, self.body = place, instances, sent, body
        self.receives, self.done = 0, None

    def is_unfinished(self, now: float) -> bool:
        """Whether it is retried after an invocation that did not finish all that its account and Region needed."""
        return self.instances is None or any(one.applied is None or one.applied > now for one in self.instances)


class Mapping:
    """Receives records into batches. Each of its pollers gathers a batch, invokes the function, and waits for its end.

    Lambda starts with five pollers and adds more while records wait, up to the maximum concurrency. A record goes to
    any of those that poll. `invoke` is a function of a batch that returns a task.
    """

    def __init__(self, world: World, settings: Settings, invoke):
        self.world, self.clock, self.settings, self.invoke = world, world.clock, settings, invoke
        self.pollers = self.idle = min(int(world.costs.first_pollers), settings.concurrency)
        self.gathering: list[list[Record]] = []
        self.waiting: deque[Record] = deque()
        self.running = self.most_running = self.invocations = 0
        self.is_scaling = False

    def arrive(self, record: Record) -> None:
        polling = len(self.gathering) + self.idle
        if not polling:
            self.waiting.append(record)
            if not self.is_scaling and self.pollers < self.settings.concurrency:
                self.is_scaling = True
                self.clock.start(self.scale(), self.world.costs.scaled_every)
            return
        chosen = self.world.random.randrange(polling)
        if chosen >= len(self.gathering):
            self.idle -= 1
            self.gather([record])
            return
        batch = self.gathering[chosen]
        batch.append(record)
        if len(batch) >= self.settings.batch:
            self.close(batch)

    def scale(self):
        while self.waiting and self.pollers < self.settings.concurrency:
            self.pollers += 1
            self.take()
            yield self.world.costs.scaled_every
        self.is_scaling = False

    def take(self) -> None:
        """A poller receives what waits."""
        some = min(len(self.waiting), self.settings.batch)
        if some:
            self.gather([self.waiting.popleft() for _ in range(some)])
        else:
            self.idle += 1

    def gather(self, batch: list[Record]) -> None:
        self.gathering.append(batch)
        if self.settings.window and len(batch) < self.settings.batch:
            self.clock.later(self.settings.window, self.close, batch)
        else:
            self.close(batch)

    def close(self, batch: list[Record]) -> None:
        """Invokes the function, unless a full batch was closed before the end of its window."""
        if not any(one is batch for one in self.gathering):
            return
        self.gathering = [one for one in self.gathering if one is not batch]
        self.running += 1
        self.invocations += 1
        self.most_running = max(self.most_running, self.running)
        self.clock.start(self.run(batch))

    def run(self, batch: list[Record]):
        for record in batch:
            record.receives += 1
        failed = yield from self.invoke(batch)
        self.running -= 1
        for record in batch:
            if record in failed:
                self.clock.later(failed[record], self.arrive, record)
            else:
                record.done = self.clock.now
        self.take()


class Function:
    """A function whose invocations are simulated."""

    def __init__(self, world: World, settings: Settings, limit: int | None = None):
        self.world, self.settings, self.limit = world, settings, limit
        self.idle: list[Process] = []
        self.billed, self.account_regions, self.processes, self.outcomes = 0.0, 0, 0, Counter()
        self.mapping = Mapping(world, settings, self.invoke)

    def process(self) -> tuple[Process, float]:
        """The process that was used last, or a new one, and how long it takes to start."""
        now, costs = self.world.clock.now, self.world.costs
        if self.idle and now - self.idle[-1].used < costs.idle:
            return self.idle.pop(), 0.0
        self.idle.clear()
        self.processes += 1
        process = Process(self.world, self.settings)
        return process, costs.cold_start + process.work(costs.cpu_start)

    def invoke(self, batch: list[Record]):
        """Works in all accounts and Regions of the batch at once. Returns the delays of the records that failed."""
        clock = self.world.clock
        process, start = self.process()
        began = clock.now
        yield start + process.work(self.world.costs.cpu_invocation)
        deadline = deadline_of(self.settings, clock.now)
        places: dict[AccountRegion, list[Record]] = {}
        for record in batch:
            places.setdefault(record.place, []).append(record)
        gate, failed, left = Gate(clock), {}, [len(places)]

        def bring(place: AccountRegion, records: list[Record]):
            work = Work(process, place, deadline, self.outcomes)
            is_done = yield from self.in_place(work, records)
            if not is_done:
                unfinished = [record for record in records if record.is_unfinished(clock.now)]
                failed.update((record, self.delay(record, work.changes)) for record in unfinished)
            left[0] -= 1
            if not left[0]:
                gate.open()

        for place, records in places.items():
            clock.start(bring(place, records))
        yield gate
        process.used = clock.now
        self.idle.append(process)
        self.billed += clock.now - began
        self.account_regions += len(places)
        return failed

    def in_place(self, work: Work, records: list[Record]):
        if records[0].instances is None:
            return (yield from work.sweep(self.limit))
        named = {instance: None for record in records for instance in record.instances}
        return (yield from work.named(list(named)))

    def delay(self, record: Record, changes: int = 0) -> float:
        """Until the record is visible again: at once for a sweep that made changes, with backoff for the others."""
        if record.instances is None and changes and self.limit is None:
            return 0.0
        doubled = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (record.receives - 1))
        return doubled * (1 - JITTER + 2 * JITTER * self.world.random.random())
