"""Counts the instructions that the function executes, with valgrind's callgrind, and fails if a count exceeds a bound.
Unlike times, counts are nearly the same in each run and on each machine, so they show a change that makes the function
slower. The count before the first event includes all that other threads do, also after the first poll. It depends on
the root certificates of the machine: its bound is for Mozilla's, about 140. The bounds apply to x86_64; on another
architecture, the script only counts.

Usage: instructions.py FUNCTION BINARIES, where FUNCTION is its executable and BINARIES the folder with ec2-sim.
"""

import platform
import re
import signal
import sys
import tempfile
from pathlib import Path

from runtime_api import OURS, Process
from simulator import Ec2, batch

# Millions, above the counts when this was last measured: 2.99 with Debian's bundle, 2.34, 2.22 and 0.96.
# Half of the first count is for the root certificates, nearly all of the others for the AWS SDK.
BOUNDS = {
    "before the first event": 3.1,
    "first event": 2.4,
    "each further event": 2.31,
    "each event of a batch of 200": 1.04,
}


def count(function: Path, ec2: Ec2, payloads: list[bytes]) -> float:
    """Millions of instructions from start to the answer to the last of the payloads."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    with tempfile.TemporaryDirectory() as folder:
        process = Process([*valgrind, function], OURS | {"AWS_ENDPOINT_URL": ec2.url}, Path(folder))
        try:
            process.until_poll()
            process.wait_until_idle()
            for payload in payloads:
                process.invoke(payload)
            process.process.send_signal(signal.SIGTERM)
            process.process.wait(timeout=60)
            collected = re.search(r"Collected : (\d+)", process.logged())
            if collected is None:
                raise RuntimeError(f"callgrind counted nothing: {process.logged()}")
            return int(collected[1]) / 1e6
        finally:
            process.stop()


def counts(function: Path, ec2: Ec2) -> dict[str, float]:
    init = count(function, ec2, [])
    first = count(function, ec2, ec2.launch(1))
    eleven = count(function, ec2, ec2.launch(11))
    of_200 = count(function, ec2, [batch(ec2.launch(200))])
    return dict(zip(BOUNDS, [init, first - init, (eleven - first) / 10, (of_200 - init) / 200], strict=True))


def main(function: Path, binaries: Path) -> int:
    with Ec2(binaries) as ec2:
        found = counts(function, ec2)
    for name, millions in found.items():
        print(f"{name}: {millions:.2f} million instructions, at most {BOUNDS[name]}")
    is_bound = platform.machine() == "x86_64"
    errors = [name for name, millions in found.items() if is_bound and millions > BOUNDS[name]]
    for name in errors:
        print(
            f"error: {name} takes more instructions than its bound; valgrind --tool=callgrind shows where",
            file=sys.stderr,
        )
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
