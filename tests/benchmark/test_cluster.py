"""The same jobs on a real dask scheduler with two workers, each a process of its own on this machine's loopback."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from processes_seen import assert_ends, pid_in, wait_until
from toy_jobs import Go, add, calls, run_forever, sums, wait_for

from nnunet_doselo.benchmark.cluster import DaskPools
from nnunet_doselo.benchmark.engine import run_jobs, running_in
from nnunet_doselo.benchmark.jobs import Job
from nnunet_doselo.common.errors import DoseloError

HERE = Path(__file__).resolve().parent
QUIET = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}


@dataclass
class Cluster:
    """Scheduler and workers; their logs and files lie in `folder`."""

    folder: Path
    address: str = ""
    processes: list[subprocess.Popen] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen:
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
                env={**os.environ, **QUIET, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"},
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def start_scheduler(self) -> subprocess.Popen:
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        process = self.start(
            *("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--no-jupyter", "--scheduler-file", str(file)),
        )
        wait_until(file.exists)
        wait_until(lambda: file.read_text().strip().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        return process

    def start_worker(self, *more: str) -> subprocess.Popen:
        """Without a nanny, so that who is killed stays dead."""
        return self.start(
            *("dask_worker", self.address, "--host", "127.0.0.1", "--no-nanny", "--no-dashboard"),
            *("--nthreads", "1", "--death-timeout", "60", "--local-directory", str(self.folder), *more),
        )


@contextmanager
def a_cluster(folder: Path) -> Iterator[Cluster]:
    folder.mkdir()
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        for process in cluster.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, one of which offers a GPU, for tests that leave them alive."""
    with a_cluster(tmp_path_factory.mktemp("dask") / "shared") as cluster:
        cluster.start_scheduler()
        cluster.start_worker("--resources", "GPU=1")
        cluster.start_worker()
        yield cluster


def states(records) -> dict[str, str]:
    return {name: record.status for name, record in records.items()}


def test_the_same_results_as_on_this_machine(go: Go, cluster: Cluster, tmp_path: Path) -> None:
    pools = DaskPools(cluster.address, gpu=True)
    wait_until(lambda: pools.workers() == (2, 1))
    there = go(sums(), pools=pools)
    assert sorted(calls(tmp_path)) == ["a", "b", "c"]
    here = go(sums())
    assert sorted(calls(tmp_path)) == ["a", "b", "c"], "what workers did counts as done"
    assert here == there
    assert {name: record.result for name, record in there.items()} == {"a": 3, "b": 7, "c": 11}


def test_heavy_jobs_run_where_a_gpu_is(go: Go, cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    jobs = [Job(name, "toy", wait_for, (name, "go"), heavy=True) for name in ("a", "b", "c")]
    go(jobs, pools=DaskPools(cluster.address, gpu=True))
    pids = {(tmp_path / f"{name}.pid").read_text() for name in ("a", "b", "c")}
    assert pids == {str(cluster.processes[1].pid)}


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_stops_commands_on_workers(go: Go, cluster: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "command.log"

    def interrupt() -> None:
        pid_in(log)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    jobs = [Job("command", "toy", run_forever, ("command",), heavy=True)]
    with pytest.raises(DoseloError, match="interrupted"):
        go(jobs, pools=DaskPools(cluster.address, gpu=True))
    assert_ends(pid_in(log))


def test_a_folder_that_workers_do_not_see_is_a_clear_error(
    go: Go, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers' own folder is another: to them a relative path is one that they do not see."""
    monkeypatch.setattr("nnunet_doselo.benchmark.benchmark_run.Path.resolve", lambda path: path)
    monkeypatch.chdir(tmp_path)
    pools = DaskPools(cluster.address, gpu=False)
    with running_in(Path("here"), pools) as run:
        records = run_jobs([Job("x", "toy", add, ("x", (1,)))], run, pools)
    assert records["x"].status == "failed"
    assert "must lie on a file system that every worker sees" in records["x"].error


def test_a_worker_killed_in_the_middle_loses_no_job(go: Go, tmp_path: Path) -> None:
    with a_cluster(tmp_path / "dask") as cluster:
        cluster.start_scheduler()
        workers = {worker.pid: worker for worker in (cluster.start_worker(), cluster.start_worker())}
        pools = DaskPools(cluster.address, gpu=False)
        wait_until(lambda: pools.workers()[0] == 2)
        jobs = [Job(name, "toy", wait_for, (name, "go")) for name in ("x", "y")]
        jobs += [Job(f"plan{n}", "toy", add, (f"plan{n}", (n,))) for n in range(6)]

        def kill_one() -> None:
            workers[pid_in(tmp_path / "x.pid")].kill()
            (tmp_path / "go").touch()

        threading.Thread(target=kill_one).start()
        records = go(jobs, pools=pools)
    assert states(records) == dict.fromkeys((job.name for job in jobs), "done")
    assert (calls(tmp_path).count("x"), calls(tmp_path).count("y")) == (2, 1)


def test_without_the_scheduler_a_clear_error_and_the_next_run_does_what_is_missing(go: Go, tmp_path: Path) -> None:
    jobs = [*sums(), Job("x", "toy", wait_for, ("x", "go"), needs=("c",))]
    with a_cluster(tmp_path / "dask") as cluster:
        scheduler = cluster.start_scheduler()
        cluster.start_worker()
        pools = DaskPools(cluster.address, gpu=False)

        def kill_scheduler() -> None:
            wait_until(lambda: (tmp_path / "x.pid").exists())
            scheduler.kill()

        threading.Thread(target=kill_scheduler).start()
        with pytest.raises(
            DoseloError, match=r"the scheduler at tcp://127\.0\.0\.1:\d+ does not answer any more; what"
        ):
            go(jobs, pools=pools)
    (tmp_path / "go").touch()
    assert states(go(jobs)) == dict.fromkeys("abcx", "done")
    assert sorted(calls(tmp_path)) == ["a", "b", "c", "x", "x"]


def test_nobody_at_the_address_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnunet_doselo.benchmark.cluster.CONNECT_S", 0.2)
    with pytest.raises(DoseloError, match=r"tcp://127\.0\.0\.1:1: expected a dask scheduler, found none"):
        DaskPools("tcp://127.0.0.1:1", gpu=False)


def test_without_the_package_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DoseloError, match="--scheduler needs the package distributed; pip install"):
        DaskPools("tcp://127.0.0.1:1", gpu=False)
