"""Runs of jobs, with a clean end."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_jobs import Go

from nnunet_doselo.benchmark.engine import run_jobs, running_in
from nnunet_doselo.benchmark.jobs import Job, JobRecord
from nnunet_doselo.benchmark.pools import LocalPools


@pytest.fixture
def go(tmp_path: Path) -> Go:
    """Runs jobs in processes of this machine, or in the pools given; what it returns are their records."""

    def run(jobs: list[Job], *, processes: int = 1, pools: Any = None, observers: Any = ()) -> dict[str, JobRecord]:
        pools = pools or LocalPools(tmp_path / "log", processes=processes)
        with running_in(tmp_path, pools) as a_run:
            return run_jobs(jobs, a_run, pools, observers)

    return run


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts tests in the background has them ignore Ctrl-C, and Python then keeps to that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
