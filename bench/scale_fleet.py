"""The organizations that scale.py simulates, and what happens in them in an hour."""

import random
from dataclasses import dataclass

from scale_model import AccountRegion, Instance
from scale_queue import Record


@dataclass(frozen=True)
class Size:
    """An organization. The figures up to 1,000 accounts are those of docs/cost.md and docs/organization.md."""

    accounts: int
    regions: int
    instances: int
    launches: int


SIZES = [Size(1, 1, 5_000, 1_000), Size(100, 2, 50_000, 30_000)]
SIZES += [Size(1_000, 2, 500_000, 300_000), Size(10_000, 17, 1_000_000, 300_000)]

# The assumptions about a day. The busiest hour has a fifth of the launches.
HOUR, BUSIEST = 3600.0, 0.2
# Instances of a RunInstances call, and how frequent such calls are.
CALLS = {1: 0.70, 5: 0.20, 20: 0.08, 200: 0.02}
# The weight of the n-th account is n to the power of -0.7: of 10,000 accounts, the first hundred have a quarter of the
# instances. Of 17 Regions, the first one has nearly half.
ACCOUNT_SKEW, REGION_SKEW = 0.7, 1.5
# Of the instances that a round of sweeps finds: usually, and in the first round of a new policy.
OPEN, OPEN_AT_FIRST = 0.01, 0.5


def fleet(size: Size, open_share: float = OPEN) -> tuple[list[AccountRegion], list[float]]:
    """The accounts and Regions, and the weight of each."""
    some = random.Random(size.accounts)
    of_account = [(number + 1) ** -ACCOUNT_SKEW for number in range(size.accounts)]
    of_region = [(number + 1) ** -REGION_SKEW for number in range(size.regions)]
    total = sum(of_account) * sum(of_region)
    places, weights = [], []
    for account, share in enumerate(of_account):
        for region, part in enumerate(of_region):
            weight = share * part / total
            instances = int(size.instances * weight + some.random())
            places.append(AccountRegion(account, region, instances, int(instances * open_share + some.random())))
            weights.append(weight)
    return places, weights


def events(places: list[AccountRegion], weights: list[float], launches: float, hops: float, seed: int) -> list[Record]:
    """The events of an hour. Each instance enters the state running, has a change of tags, and is in the record of its
    launch, which CloudTrail sends within a minute."""
    some = random.Random(seed)
    sizes, frequencies = list(CALLS), list(CALLS.values())
    mean = sum(size * share for size, share in CALLS.items())
    records = []
    for place in some.choices(places, weights, k=round(launches / mean)):
        began = some.random() * HOUR
        (count,) = some.choices(sizes, frequencies)
        instances = [Instance(began + 5 * some.random()) for _ in range(count)]
        for instance in instances:
            records.append(Record(place, [instance], instance.launched + hops))
            records.append(Record(place, [instance], instance.launched + hops + 5 * some.random()))
        records.append(Record(place, instances, began + hops + 5 + 55 * some.random()))
    return records
