"""What the simulation in scale.py is fed with: the template's settings, and what each step costs.

Each cost has its source: a command that measures it here, a page of AWS, or "assumption".
"""

import re
from dataclasses import dataclass, replace
from types import SimpleNamespace

from scale_clock import ROOT, constant

CHECK = "measured here: bench/scale.py --check"
PERFORMANCE = "measured here: bench/run, docs/performance.md"
COST_PAGE = "docs/cost.md"
ASSUMPTION = "assumption"
LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/"
EC2 = "https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html"

# Name: value, unit, source.
COSTS = {
    # CPU, in milliseconds of a whole core.
    "cpu_start": (1.95, "ms", PERFORMANCE),
    "cpu_invocation": (0.275, "ms", CHECK),
    "cpu_client": (0.025, "ms", CHECK),
    "cpu_call": (0.275, "ms", CHECK),
    "cpu_instance": (0.07, "ms", CHECK),
    "cpu_handshake": (3.8, "ms", PERFORMANCE),
    "mb_of_a_core": (1769, "MB", LAMBDA + "configuration-memory.html"),
    # The time of AWS, in seconds.
    "assume": (0.1, "s", ASSUMPTION),
    "describe": (0.2, "s", ASSUMPTION),
    "describe_instance": (0.001, "s", ASSUMPTION),
    "modify": (0.3, "s", ASSUMPTION),
    "other_region": (0.12, "s", ASSUMPTION),
    "applied_least": (1.0, "s", ASSUMPTION),
    "applied_most": (3.0, "s", ASSUMPTION),
    "cold_start": (0.1, "s", ASSUMPTION),
    "idle": (600.0, "s", ASSUMPTION),
    "hop": (0.5, "s", ASSUMPTION),
    "scaled_every": (0.2, "s", LAMBDA + "services-sqs-scaling.html"),
    "first_pollers": (5, "", LAMBDA + "services-sqs-scaling.html"),
    # Token buckets: the burst, and the rate per second.
    "modify_burst": (100, "calls", EC2),
    "modify_rate": (5, "calls/s", EC2),
    "describe_burst": (100, "calls", EC2),
    "describe_rate": (20, "calls/s", EC2),
    "sts_burst": (600, "calls", ASSUMPTION),
    "sts_rate": (600, "calls/s", "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"),
    # Bytes of log.
    "log_changed": (528, "bytes", CHECK),
    "log_compliant": (494, "bytes", CHECK),
    "log_account": (952, "bytes", CHECK),
    "log_account_changed": (866, "bytes", CHECK),
    "log_sweep": (348, "bytes", CHECK),
    "log_batch": (178, "bytes", CHECK),
    "log_lambda": (1000, "bytes", ASSUMPTION),
}

# Prices in dollars, as docs/cost.md and docs/organization.md have them.
PRICES = {
    "invocation": 0.20e-6,
    "gb_second": 0.0000166667,
    "sqs": 0.40e-6,
    "log_gb": 0.50,
    "metric": 0.30,
    "alarm": 0.10,
    "dashboard": 3.00,
    "event": 1.00e-6,
}
# Billed metrics, and alarms, of one stack: docs/cost.md.
METRICS, ALARMS, POLLS = 33, 17, 1_300_000


def costs(**changed: float) -> SimpleNamespace:
    """The values of the table, those of `changed` in place of it."""
    return SimpleNamespace(**{name: value for name, (value, _, _) in COSTS.items()} | changed)


@dataclass(frozen=True)
class Settings:
    """One function and its event source mapping."""

    batch: int
    window: float
    concurrency: int
    timeout: float
    burst: int
    rate: float
    memory: int
    verify: float
    # Sweeps are retried at once while they make changes.
    is_sweeper: bool


def section(text: str, name: str, indent: int = 2) -> str:
    """The part of a template under a key."""
    found = re.search(rf"^{' ' * indent}{name}:\n((?: {{{indent + 1},}}.*\n|\n)*)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"the template has no {name}")
    return found[1]


def number(text: str, key: str) -> float:
    """The number of a key; of an `!If [IsHub, !Ref Parameter, number]`, that of one account."""
    found = re.search(rf'^ +{key}: (?:"?([\d.]+)"?|!If \[IsHub, !Ref \w+, (\d+)\])$', text, re.MULTILINE)
    if found is None:
        raise LookupError(f"the template has no number {key}")
    return float(found[1] or found[2])


def from_template(is_hub: bool) -> dict[str, Settings]:
    """The settings of both functions in template.yaml, with its default parameters."""
    text = (ROOT / "template.yaml").read_text()
    shared, parameters = section(text, "Globals", 0), section(text, "Parameters", 0)
    found = {}
    for name, rate in (("Enforcer", "ModifyRate"), ("Sweeper", "SweepModifyRate")):
        own, of_hub = section(text, name), section(parameters, f"{name}Concurrency")
        found[name] = Settings(
            batch=int(number(own, "BatchSize")),
            window=number(own, "MaximumBatchingWindowInSeconds") if name == "Enforcer" else 0.0,
            concurrency=int(number(of_hub, "Default") if is_hub else number(own, "MaximumConcurrency")),
            timeout=number(own, "Timeout"),
            burst=int(number(own, "IMDS_MODIFY_BURST")),
            rate=number(section(parameters, rate), "Default"),
            memory=int(number(shared, "MemorySize")),
            verify=number(shared, "IMDS_VERIFY_SECONDS"),
            is_sweeper=name == "Sweeper",
        )
    return found


def with_concurrency(settings: Settings, concurrency: int) -> Settings:
    return replace(settings, concurrency=concurrency)


def spread_of_sweeps() -> float:
    """Seconds over which EventBridge Scheduler spreads the sweeps of members."""
    return 60 * float(re.search(r"MaximumWindowInMinutes: (\d+)", (ROOT / "stackset/member.yaml").read_text())[1])


def sweeps_a_day() -> float:
    """By SweepSchedule, and the one with the watch."""
    return 24 / float(re.search(r"Default: rate\((\d+) hours\)", (ROOT / "template.yaml").read_text())[1]) + 1


CACHED = int(constant("engine/src/aws/clients/mod.rs", "CACHED"))
CHANGES_AT_ONCE = int(constant("engine/src/reconcile/apply.rs", "CHANGES_AT_ONCE"))
ATTEMPTS = int(constant("engine/src/reconcile/apply.rs", "ATTEMPTS"))
FRESH_FOR = constant("engine/src/reconcile/apply.rs", "FRESH_FOR")
FIRST_PAUSE = constant("engine/src/reconcile/verify.rs", "FIRST_PAUSE") / 1000
SESSION = constant("engine/src/aws/member_role.rs", "SESSION_SECONDS")
RENEW_BEFORE = constant("engine/src/aws/member_role.rs", "RENEW_BEFORE")
PAGE = int(constant("engine/src/aws/client.rs", "INSTANCES_PER_PAGE"))
FIRST_DELAY = constant("src/redelivery.rs", "FIRST")
JITTER = constant("src/redelivery.rs", "JITTER")
# 15 * 60 in the source.
LONGEST_DELAY = 900.0
# engine/src/deadline.rs: no new work starts in the last 6 s.
RESERVED = 6.0
