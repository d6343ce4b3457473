"""Shared by the tests: both emulators, started once per file, and what they and the functions printed during a test."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

# Processes and EC2 calls are those of the other tests.
sys.path.append(str(Path(__file__).parents[1] / "python"))

from cloud import Cloud  # noqa: E402


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    root = tmp_path_factory.mktemp("cloud")
    with ExitStack() as stack:

        def start(kind, *arguments):
            folder = root / kind.__name__.lower()
            folder.mkdir()
            process = kind(folder, *arguments)
            stack.callback(process.stop)
            return process

        yield Cloud(start)


@pytest.fixture(autouse=True)
def shown(cloud):
    """pytest shows what is printed where a test fails. What the functions print is in ministack's output."""
    processes = [cloud.sim, cloud.ministack]
    before = [len(process.output()) for process in processes]
    yield
    for process, start in zip(processes, before, strict=True):
        print(f"--- {process.name} printed:\n{process.output()[start:]}")
