"""One unit of work of a benchmark, and the record that it leaves: what makes a run resumable to the job."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.hashing import sha256_of_json
from nnunet_doselo.evaluation.result_files import COMPARED_BY

DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclass(frozen=True)
class Made:
    """What a job made: `result` (JSON) changes whenever something in `files` does that others depend on."""

    result: Any = None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Job:
    """A unit of work that can be sent to another process or machine.

    name: also that of its record and of its log.
    work: a function that can be imported; called with a `benchmark_run.Run`, then `arguments`.
    settings: all that decides what it makes, besides the results of the jobs that it `needs`; JSON.
    heavy: a training or a prediction: few at a time, on a GPU where there is one.
    """

    name: str
    kind: str
    work: Callable[..., Made]
    arguments: tuple[Any, ...] = ()
    settings: Any = None
    needs: tuple[str, ...] = ()
    heavy: bool = False


@dataclass(frozen=True)
class JobRecord:
    """How a job ended. files: size and time of last change (ns) of what it made, by path, below the folder relative."""

    name: str
    kind: str
    key: str
    status: str
    seconds: float = 0.0
    finished: float = 0.0
    hardware: str = ""
    result: Any = None
    files: dict[str, list[int]] = field(default_factory=dict)
    error: str = ""


def key_of(job: Job, records: Mapping[str, JobRecord]) -> str:
    """SHA-256 of a job's settings and of what the jobs that it needs have made."""
    needed = {need: records[need].result for need in job.needs}
    return sha256_of_json([job.kind, job.name, job.settings, needed])


def job_record_file(folder: Path, name: str) -> Path:
    return folder / "jobs" / f"{name}.json"


def job_log_file(folder: Path, name: str) -> Path:
    return folder / "logs" / f"{name}.log"


def current_record(folder: Path, name: str, key: str) -> JobRecord | None:
    """The record of a job that was done with this key, and whose files are still as it left them; else None."""
    file = job_record_file(folder, name)
    if not file.exists():
        return None
    try:
        record = JobRecord(**read_json(file, COMPARED_BY))
    except (DoseloError, TypeError):  # cut short, another version's, or a person's
        return None
    if record.status != DONE or record.key != key:
        return None
    return record if all(_state(folder / path) == state for path, state in record.files.items()) else None


def write_job_record(folder: Path, record: JobRecord) -> None:
    """The file appears whole or not at all."""
    write_json(job_record_file(folder, record.name), record)


def states_of(folder: Path, files: tuple[Path, ...]) -> dict[str, list[int]]:
    """For a record; FileNotFoundError if one is missing."""
    return {str(file.relative_to(folder) if file.is_relative_to(folder) else file): _required(file) for file in files}


def _required(file: Path) -> list[int]:
    state = file.stat()
    return [state.st_size, state.st_mtime_ns]


def _state(file: Path) -> list[int] | None:
    try:
        return _required(file)
    except OSError:
        return None
