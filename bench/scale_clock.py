"""The clock of the simulation in scale.py, and the token buckets of EC2, of STS and of the function.

The function's own constants are read from its sources, so that a change of them changes the simulation.
"""

import heapq
import queue
import re
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def constant(file: str, name: str) -> float:
    """A constant of the Rust sources: a number, a quotient of numbers, or a duration in seconds."""
    found = re.search(rf"const {name}: [\w:]+ = ([^;]+);", (ROOT / file).read_text())
    if found is None:
        raise LookupError(f"{file} has no constant {name}")
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", found[1])]
    return numbers[0] / numbers[1] if "/" in found[1] else numbers[0]


LIMITER = "engine/src/aws/rate_limit/mod.rs"
START, DECREASE, RAMP, LEAST = (constant(LIMITER, name) for name in ("START", "DECREASE", "RAMP", "LEAST"))


class Gate:
    """Where tasks wait until another one opens it."""

    def __init__(self, clock: "Clock"):
        self.clock, self.tasks = clock, []

    def open(self) -> None:
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            self.clock.start(task)


class Clock:
    """Runs tasks: generators that yield how many seconds they wait, or the gate where they wait."""

    def __init__(self):
        self.now, self.heap, self.count = 0.0, [], 0

    def start(self, task, after: float = 0.0) -> None:
        self.count += 1
        heapq.heappush(self.heap, (self.now + after, self.count, task))

    def later(self, after: float, function, *arguments) -> None:
        """Calls a function after so many seconds."""

        def task():
            function(*arguments)
            yield from ()

        self.start(task(), after)

    def step(self, task) -> None:
        wait = next(task, self)
        if wait is self:
            return
        if isinstance(wait, Gate):
            wait.tasks.append(task)
        else:
            self.start(task, wait)

    def run(self) -> None:
        """Until no task waits for a time."""
        while self.heap:
            self.now, _, task = heapq.heappop(self.heap)
            self.step(task)


class RealClock(Clock):
    """The same in real time. Other threads open gates with `ended`."""

    def __init__(self):
        super().__init__()
        self.began, self.gates, self.outside = time.perf_counter(), queue.Queue(), 0

    def ended(self, gate: Gate) -> None:
        self.gates.put(gate)

    def run(self) -> None:
        """Until no task waits for a time or for a thread."""
        while self.heap or self.outside:
            due = self.heap[0][0] - (time.perf_counter() - self.began) if self.heap else 60.0
            try:
                gate = self.gates.get(timeout=due) if due > 0 else self.gates.get_nowait()
                self.now = time.perf_counter() - self.began
                gate.open()
                self.outside -= 1
            except queue.Empty:
                self.now = time.perf_counter() - self.began
                while self.heap and self.heap[0][0] <= self.now:
                    self.step(heapq.heappop(self.heap)[2])


class Bucket:
    """A token bucket of AWS: so many calls at once, and so many a second."""

    __slots__ = ("capacity", "refill", "tokens", "at", "accepted", "throttled")

    def __init__(self, capacity: float, refill: float):
        self.capacity, self.refill = capacity, refill
        self.tokens, self.at, self.accepted, self.throttled = capacity, 0.0, 0, 0

    def take(self, now: float) -> bool:
        self.tokens = min(self.capacity, self.tokens + self.refill * (now - self.at))
        self.at = now
        if self.tokens < 1.0:
            self.throttled += 1
            return False
        self.tokens -= 1.0
        self.accepted += 1
        return True


class RateLimiter:
    """The function's own limit of changes, as in engine/src/aws/rate_limit."""

    __slots__ = ("ceiling", "burst", "tokens", "rate", "at", "reduced", "answered")

    def __init__(self, ceiling: float, burst: int, now: float):
        self.ceiling, self.burst, self.tokens, self.rate = ceiling, burst, float(burst), START * ceiling
        self.at, self.reduced, self.answered = now, -1.0, now

    def level(self, now: float) -> None:
        self.tokens = min(float(self.burst), self.tokens + self.rate * (now - self.at))
        self.at = now

    def wait(self, now: float) -> float:
        """Seconds until the next token."""
        self.level(now)
        # Rounding would otherwise leave a wait that the clock cannot represent.
        return (1.0 - self.tokens) / self.rate if self.tokens < 1.0 - 1e-9 else 0.0

    def within(self, seconds: float, now: float) -> int:
        self.level(now)
        return int(max(1.0, self.tokens + self.rate * seconds))

    def throttled(self, taken: float, now: float) -> None:
        self.level(now)
        self.answered = now
        if self.reduced < taken:
            self.reduced, self.tokens = now, 0.0
            self.rate = max(self.rate * DECREASE, self.ceiling * LEAST)

    def accepted(self, now: float) -> None:
        self.level(now)
        increase = self.ceiling * self.ceiling / RAMP * (now - self.answered)
        self.rate, self.answered = min(self.ceiling, self.rate + increase), now
