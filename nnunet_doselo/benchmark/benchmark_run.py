"""One run of a benchmark as its jobs see it, wherever they run: its folder, nnU-Net's variables, whether it goes on.

A file in the folder names the run. Jobs that started a command look at it every second: when it names another run, or
none, they stop the command. So an interrupted run leaves no training behind, not even on another machine.
"""

import os
import platform
import socket
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing
from nnunet_doselo.common.nnunet_environment import FOLDER_VARIABLES, TRAINER_FOLDER, TRAINER_VARIABLE
from nnunet_doselo.common.process import last_lines

from .jobs import DONE, FAILED, Job, JobRecord, current_record, job_log_file, states_of, write_job_record
from .supervised import run_supervised

RUN_FILE = ".run"
PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Unless the user says otherwise: nnU-Net takes all cores for a training on the CPU, and its threads wait by spinning.
Two trainings side by side on two cores then do not get through an epoch that takes 7 s with threads that sleep."""


class RunEnded(Exception):
    """The run that a job belongs to was interrupted, or another has taken its place."""


@dataclass(frozen=True)
class Run:
    """`environment`: nnU-Net's variables as they were where the run was started; folders are absolute."""

    folder: Path
    token: str
    environment: Mapping[str, str]

    @classmethod
    def begin(cls, folder: Path) -> "Run":
        """Take the folder over; an earlier run that still goes on there ends itself."""
        run = cls(folder.resolve(), uuid.uuid4().hex, nnunet_environment())
        with all_or_nothing(run.folder / RUN_FILE) as partial:
            partial.write_text(run.token)
        return run

    def end(self) -> None:
        """Jobs that still run stop within seconds."""
        if self._holder() == self.token:
            (self.folder / RUN_FILE).unlink(missing_ok=True)

    def require_current(self) -> None:
        """Raises RunEnded if this run was ended."""
        with suppress(PermissionError, TimeoutError):  # a file system that hesitates has ended nothing
            if self._holder() != self.token:
                raise RunEnded(f"{self.folder}: this run was ended, or another `doselo benchmark` has taken over")

    def require_folder(self) -> None:
        """Raises DoseloError where the run's folder cannot be seen."""
        if not self.folder.is_dir():
            raise DoseloError(
                f"{self.folder}: no such folder on {socket.gethostname()}; the benchmark's folder and nnU-Net's must "
                "lie on a file system that every worker sees at the same place"
            )

    def command(self, job: str, command: Sequence[str]) -> None:
        """Run a command to its end; its output is appended to the log of that job.

        Raises
        ------
        DoseloError: it failed; the message has the end of the log.
        RunEnded: the run was ended, and so was the command.
        """
        log = job_log_file(self.folder, job)
        others = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet_")}
        environment = {**PATIENT_THREADS, **others, **self.environment, "PYTHONUNBUFFERED": "1"}
        status = run_supervised(command, environment, log, self.require_current)
        if status:
            end = "\n".join(f"    {line}" for line in last_lines(log))
            raise DoseloError(f"`{' '.join(command)}` ended with status {status}. The end of {log}:\n{end}")

    def _holder(self) -> str:
        with suppress(FileNotFoundError):
            return (self.folder / RUN_FILE).read_text()
        return ""


def nnunet_environment() -> dict[str, str]:
    """nnU-Net's variables of this process, its folders as absolute paths, and where our trainers are."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("nnUNet_")}
    folders = {name: str(Path(variables[name]).resolve()) for name in FOLDER_VARIABLES if name in variables}
    return {TRAINER_VARIABLE: str(TRAINER_FOLDER), **variables, **folders}


def perform_job(run: Run, job: Job, key: str) -> JobRecord:
    """Do the job here, and write its record; what another worker had finished already is not done again.

    RunEnded passes through, everything else that goes wrong is in the record.
    """
    run.require_folder()
    if done := current_record(run.folder, job.name, key):
        return done
    run.require_current()
    start = time.time()
    record = _outcome(run, job, key, start)
    write_job_record(run.folder, record)
    return record


def _outcome(run: Run, job: Job, key: str, start: float) -> JobRecord:
    try:
        made = job.work(run, *job.arguments)
        files = states_of(run.folder, made.files)
    except RunEnded:
        raise
    except Exception as error:
        return failed_record(job, key, error_in_words(error), time.time() - start)
    now = time.time()
    return JobRecord(job.name, job.kind, key, DONE, now - start, now, _machine(), made.result, files)


def failed_record(job: Job, key: str, error: str, seconds: float = 0.0) -> JobRecord:
    return JobRecord(job.name, job.kind, key, FAILED, seconds, time.time(), _machine(), error=error)


def error_in_words(error: BaseException) -> str:
    """Ours as they are; of others also where they came from."""
    if isinstance(error, DoseloError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" ({Path(where[0].filename).name}, line {where[0].lineno})" if where else ""
    return f"{type(error).__name__}: {error}{place}"


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores"
