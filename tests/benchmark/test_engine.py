"""Jobs on this machine: order, what is skipped, what fails, what is killed, what is interrupted."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from processes_seen import assert_ends, pid_in, wait_until
from toy_jobs import Go, add, calls, die_always, die_at_first, refuse, run_forever, sums, wait_for

from nnunet_doselo.benchmark.benchmark_run import Run
from nnunet_doselo.benchmark.engine import run_jobs, running_in
from nnunet_doselo.benchmark.jobs import Job, JobRecord, job_record_file
from nnunet_doselo.benchmark.pools import LocalPools
from nnunet_doselo.common.errors import DoseloError


class Heard:
    """Notes what an observer is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begun(self, job: Job) -> None:
        self.said.append(f"{job.name} begun")

    def ended(self, job: Job, record: JobRecord, *, new: bool) -> None:
        self.said.append(f"{job.name} {record.status}{'' if new else ' before'}")


def states(records: dict[str, JobRecord]) -> dict[str, str]:
    return {name: record.status for name, record in records.items()}


def test_jobs_run_after_what_they_need_and_leave_records(go: Go, tmp_path: Path) -> None:
    heard = Heard()
    records = go(sums(), observers=[heard])
    assert {name: record.result for name, record in records.items()} == {"a": 3, "b": 7, "c": 11}
    assert calls(tmp_path)[-1] == "c"
    assert heard.said[-2:] == ["c begun", "c done"]
    record = json.loads(job_record_file(tmp_path, "c").read_text())
    assert (record["status"], record["result"], record["kind"]) == ("done", 11, "sum")
    assert record["files"] == {"sums/c": [2, (tmp_path / "sums" / "c").stat().st_mtime_ns]}


def test_what_was_done_is_not_done_again(go: Go, tmp_path: Path) -> None:
    first, heard = go(sums()), Heard()
    assert go(sums(), observers=[heard]) == first
    assert sorted(calls(tmp_path)) == ["a", "b", "c"]
    assert heard.said == ["a done before", "b done before", "c done before"]


def test_a_change_is_done_again_with_all_that_depends_on_it(go: Go, tmp_path: Path) -> None:
    go(sums())
    go(sums(2, 5))
    assert calls(tmp_path)[3:] == ["b", "c"]


def test_a_change_that_makes_no_difference_ends_there(go: Go, tmp_path: Path) -> None:
    """3 + 4 with other settings is still 7."""
    go(sums())
    a, b, c = sums()
    go([a, Job(b.name, b.kind, b.work, b.arguments, "other"), c])
    assert calls(tmp_path)[3:] == ["b"]


@pytest.mark.parametrize("change", ["removed", "changed"])
def test_files_that_are_not_as_they_were_left_are_made_again(go: Go, tmp_path: Path, change: str) -> None:
    go(sums())
    file = tmp_path / "sums" / "a"
    file.unlink() if change == "removed" else file.write_text("7000")
    go(sums())
    assert calls(tmp_path)[3:] == ["a"]


def test_a_record_that_cannot_be_read_is_none(go: Go, tmp_path: Path) -> None:
    go(sums())
    job_record_file(tmp_path, "b").write_text("{")
    go(sums())
    assert calls(tmp_path)[3:] == ["b"]


def test_a_failure_is_kept_and_the_rest_goes_on(go: Go, tmp_path: Path) -> None:
    jobs = [
        Job("no", "toy", refuse, ("no",)),
        Job("after", "toy", add, ("after", (1,)), needs=("no",)),
        Job("other", "toy", add, ("other", (2,))),
    ]
    records = go(jobs)
    assert states(records) == {"no": "failed", "other": "done"}
    assert records["no"].error == "no is not allowed"
    (tmp_path / "allowed").touch()
    assert states(go(jobs)) == {"no": "done", "after": "done", "other": "done"}
    assert calls(tmp_path) == ["no", "other", "no", "after"]


def test_an_error_that_is_not_ours_says_where_it_was_made(go: Go) -> None:
    records = go([Job("x", "toy", add, ("x", ("1",)))])
    assert "TypeError" in records["x"].error
    assert "(toy_jobs.py, line" in records["x"].error


def test_a_job_whose_process_is_killed_is_done_again(go: Go, tmp_path: Path) -> None:
    jobs = [Job("weak", "toy", die_at_first, ("weak",)), *sums()]
    assert states(go(jobs, processes=2)) == dict.fromkeys(("weak", "a", "b", "c"), "done")
    assert calls(tmp_path).count("weak") == 2


def test_a_job_whose_process_is_always_killed_fails_and_the_rest_goes_on(go: Go, tmp_path: Path) -> None:
    records = go([Job("big", "toy", die_always, ("big",)), *sums()])
    assert states(records) == {"big": "failed", "a": "done", "b": "done", "c": "done"}
    assert "killed 3 times" in records["big"].error
    assert calls(tmp_path).count("big") == 3


def test_no_more_heavy_jobs_at_a_time_than_asked_for(go: Go, tmp_path: Path) -> None:
    jobs = [Job(name, "toy", wait_for, (name, "go"), heavy=True) for name in ("a", "b", "c")]
    pools = LocalPools(tmp_path / "log", trainings_at_once=2)
    seen: list[list[str]] = []

    def watch() -> None:
        wait_until(lambda: len(calls(tmp_path)) >= 2)
        time.sleep(0.2)
        seen.append(sorted(calls(tmp_path)))
        (tmp_path / "go").touch()

    watcher = threading.Thread(target=watch)
    watcher.start()
    go(jobs, pools=pools)
    watcher.join()
    assert seen == [["a", "b"]]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_stops_commands_and_processes_and_says_how_to_go_on(go: Go, tmp_path: Path, name: str) -> None:
    jobs = [
        Job("command", "toy", run_forever, ("command",), heavy=True),
        Job("plan", "toy", wait_for, ("plan", "never")),
        Job("done", "toy", add, ("done", (1,)), heavy=True),
    ]
    files = [tmp_path / "logs" / "command.log", tmp_path / "plan.pid"]

    def interrupt() -> None:
        for file in files:
            pid_in(file)
        os.kill(os.getpid(), getattr(signal, name))

    threading.Thread(target=interrupt).start()
    with pytest.raises(DoseloError, match="interrupted; what is finished is kept; the same command goes on"):
        go(jobs)
    for file in files:
        assert_ends(pid_in(file))
    assert not (tmp_path / "jobs").exists()


def test_processes_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from toy_jobs import *; from nnunet_doselo.benchmark.engine import *; "
        "from nnunet_doselo.benchmark.pools import LocalPools\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "if __name__ == '__main__':\n"
        "    pools = LocalPools(folder / 'log')\n"
        "    with running_in(folder, pools) as run:\n"
        "        run_jobs([Job('plan', 'toy', wait_for, ('plan', 'never'))], run, pools)\n"
    )
    (tmp_path / "script.py").write_text(code)
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    parent = subprocess.Popen([sys.executable, tmp_path / "script.py"], env=here)
    pid = pid_in(tmp_path / "plan.pid")
    parent.kill()
    parent.wait()
    assert_ends(pid)


def test_a_second_run_takes_over_and_the_first_ends_itself(tmp_path: Path) -> None:
    """The first sees it as soon as it looks."""
    pools = LocalPools(tmp_path / "log")
    jobs = [Job("command", "toy", run_forever, ("command",), heavy=True)]
    log = tmp_path / "logs" / "command.log"

    def take_over() -> None:
        pid_in(log)
        Run.begin(tmp_path)

    threading.Thread(target=take_over).start()
    with (
        pytest.raises(DoseloError, match="or another `doselo benchmark` has taken over; what is finished is kept"),
        running_in(tmp_path, pools) as run,
    ):
        run_jobs(jobs, run, pools)
    assert_ends(pid_in(log))
    assert (tmp_path / ".run").exists(), "that is the second's"


@pytest.mark.parametrize(
    "jobs",
    [
        [Job("a", "toy", add), Job("a", "toy", add)],
        [Job("a", "toy", add, needs=("b",)), Job("b", "toy", add)],
    ],
    ids=["twice", "order"],
)
def test_a_list_of_jobs_that_cannot_be_run_is_refused(go: Go, jobs: list[Job]) -> None:
    with pytest.raises(ValueError, match="must have a name of its own and come after"):
        go(jobs)
