"""Runs jobs, each as soon as all it needs is done: skips what an earlier run has done, and goes on after a failure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.process import kill_means_interrupt

from .benchmark_run import Run, RunEnded, error_in_words, failed_record, perform_job
from .jobs import DONE, Job, JobRecord, current_record, key_of, write_job_record
from .pools import Pools

TRIES = 3
RUN_CHECK_S = 1.0
GOES_ON = "what is finished is kept; the same command goes on from there"


class Observer(Protocol):
    """Is told what happens, in the main thread."""

    def begun(self, job: Job) -> None:
        """It was handed to an executor."""

    def ended(self, job: Job, record: JobRecord, *, new: bool) -> None:
        """It is done or has failed; `new` is False where an earlier run had done it."""


@contextmanager
def running_in(folder: Path, pools: Pools) -> Iterator[Run]:
    """A run in `folder`; whatever ends the block, nothing that it started goes on.

    Raises
    ------
    DoseloError: instead of KeyboardInterrupt (Ctrl-C, `kill`); or another run has taken the folder over.
    """
    with kill_means_interrupt():
        run = Run.begin(folder)
        try:
            yield run
        except KeyboardInterrupt:
            raise DoseloError(f"interrupted; {GOES_ON}") from None
        except RunEnded as error:
            raise DoseloError(f"{error}; {GOES_ON}") from None
        finally:
            run.end()
            pools.stop()


def run_jobs(jobs: Sequence[Job], run: Run, pools: Pools, observers: Sequence[Observer] = ()) -> dict[str, JobRecord]:
    """The records of all jobs that are done or have failed; one that is missing waits for one that has failed.

    A job whose process was killed is tried again, three times in all.

    Raises
    ------
    ValueError: two jobs have one name, or one does not come after all that it needs.
    DoseloError: the executor was lost.
    RunEnded: another run has taken over.
    """
    _require_order(jobs)
    return _Engine(jobs, run, pools, observers).go()


def _require_order(jobs: Sequence[Job]) -> None:
    known: set[str] = set()
    for job in jobs:
        if job.name in known or not known.issuperset(job.needs):
            raise ValueError(f"job {job.name} must have a name of its own and come after {job.needs}")
        known.add(job.name)


class _Engine:
    """`to_do`: not yet looked at, in the order given. `ready`: what they need is done, they are not. Both by name."""

    def __init__(self, jobs: Sequence[Job], run: Run, pools: Pools, observers: Sequence[Observer]) -> None:
        self.to_do = {job.name: job for job in jobs}
        self.place = {job.name: place for place, job in enumerate(jobs)}
        self.ready: dict[str, tuple[Job, str]] = {}
        self.running: dict[Future[JobRecord], tuple[Job, str, Executor]] = {}
        self.records: dict[str, JobRecord] = {}
        self.run, self.pools, self.observers = run, pools, observers
        self.deaths: Counter[str] = Counter()

    def go(self) -> dict[str, JobRecord]:
        while True:
            self._look()
            self._hand_out()
            if not self.running:
                return self.records
            ended, _ = wait(self.running, RUN_CHECK_S, FIRST_COMPLETED)
            self.run.require_current()
            for future in ended:
                self._take(future)

    def _look(self) -> None:
        for job in [*self.to_do.values()]:
            if all(need in self.records and self.records[need].status == DONE for need in job.needs):
                del self.to_do[job.name]
                key = key_of(job, self.records)
                if done := current_record(self.run.folder, job.name, key):
                    self._end(job, done, new=False)
                else:
                    self.ready[job.name] = (job, key)

    def _hand_out(self) -> None:
        # in the order given, so that a prediction goes before the trainings of the next fold
        for job, key in sorted(self.ready.values(), key=lambda ready: self.place[ready[0].name]):
            width = self.pools.width(heavy=job.heavy)
            busy = sum(other.heavy == job.heavy for other, _, _ in self.running.values())
            if width is None or busy < width:
                self._submit(job, key)

    def _submit(self, job: Job, key: str) -> None:
        executor = self.pools.executor(heavy=job.heavy)
        try:
            future = executor.submit(perform_job, self.run, job, key)
        except BrokenExecutor:  # stays ready for the next round
            self.pools.renew()
            return
        except Exception as error:
            raise self._lost() from error
        del self.ready[job.name]
        self.running[future] = (job, key, executor)
        for observer in self.observers:
            observer.begun(job)

    def _take(self, future: Future[JobRecord]) -> None:
        job, key, executor = self.running.pop(future)
        try:
            record = future.result()
        except CancelledError:
            raise self._lost() from None
        except RunEnded:
            raise
        except BrokenExecutor:
            self._died(job, key, executor)
            return
        except Exception as error:  # it could not be sent, or its worker died too often
            record = failed_record(job, key, error_in_words(error))
            write_job_record(self.run.folder, record)
        self._end(job, record, new=True)

    def _died(self, job: Job, key: str, executor: Executor) -> None:
        if self.pools.executor(heavy=job.heavy) is executor:
            self.pools.renew()
        self.deaths[job.name] += 1
        if self.deaths[job.name] < TRIES:
            self.ready[job.name] = (job, key)
            return
        record = failed_record(
            job, key, f"its process was killed {TRIES} times, perhaps for want of memory; try a smaller -np"
        )
        write_job_record(self.run.folder, record)
        self._end(job, record, new=True)

    def _end(self, job: Job, record: JobRecord, *, new: bool) -> None:
        self.records[job.name] = record
        for observer in self.observers:
            observer.ended(job, record, new=new)

    def _lost(self) -> DoseloError:
        return DoseloError(f"{self.pools.lost()}; {GOES_ON}")
