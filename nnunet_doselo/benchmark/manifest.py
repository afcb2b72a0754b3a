"""manifest.json: what was compared, with which versions, seeds and data, on what, for how long, and what failed."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json, write_json
from nnunet_doselo.common.versions import versions
from nnunet_doselo.evaluation.result_files import COMPARED_BY, MANIFEST_FILE, MANIFEST_FORMAT

from .graph import CHECK, EVALUATION, PLAN, PREDICTION
from .jobs import DONE, WAITING, Job, JobRecord
from .names import NNUNETS_EPOCHS, NNUNETS_ITERATIONS
from .same import remarks_on_trainings, same_in_words
from .setting import Benchmark
from .training_facts import TrainingFacts, facts_from
from .training_inputs import sha256_of_json


class Manifest:
    """An `engine.Observer` that rewrites the file whenever a job has ended; the file is always whole."""

    def __init__(self, benchmark: Benchmark, command: str) -> None:
        self.benchmark, self.command = benchmark, command
        self.jobs: dict[str, Job] = {}
        self.records: dict[str, JobRecord] = {}
        self.left_out: list[str] = []
        self.created = _created(benchmark.folder / MANIFEST_FILE)
        self.versions = versions()

    def expect(self, jobs: Sequence[Job]) -> None:
        """More jobs that belong to the benchmark."""
        self.jobs |= {job.name: job for job in jobs}
        self.write()

    def begun(self, job: Job) -> None:
        """Nothing to write."""

    def ended(self, job: Job, record: JobRecord, *, new: bool) -> None:
        self.records[job.name] = record
        if new:
            self.write()

    def write(self) -> None:
        write_json(self.benchmark.folder / MANIFEST_FILE, self.content())

    def facts(self) -> list[TrainingFacts]:
        """Of the trainings that were checked."""
        return [facts_from(r.result) for r in self.records.values() if r.kind == CHECK and r.status == DONE]

    def remarks(self) -> list[str]:
        """What a reader of the results has to know."""
        return [*remarks_on_trainings(self.benchmark, self.facts()), *self.left_out]

    def content(self) -> dict[str, Any]:
        benchmark, asked, facts = self.benchmark, self.benchmark.asked, self.facts()
        return {
            "format": MANIFEST_FORMAT,
            "command": self.command,
            "created": self.created,
            "dataset": benchmark.dataset.folder.name,
            "configuration": asked.configuration,
            "plans": asked.plans,
            "folds": list(asked.folds),
            "trainers": list(asked.trainers),
            "baseline": asked.baseline,
            "split": benchmark.split,
            "synthetic": benchmark.dataset.is_synthetic,
            "engine": asked.engine,
            "seeds": list(asked.seeds),
            "versions": self.versions,
            "hardware": sorted({r.hardware for r in self.records.values() if r.hardware} | _machines(facts)),
            "hashes": _hashes(benchmark),
            "hours": hours(self.records, facts),
            "same": _same(benchmark, facts),
            "remarks": self.remarks(),
            "nnunets_length": {"epochs": NNUNETS_EPOCHS, "iterations": NNUNETS_ITERATIONS},
            "trainings": [_training(training) for training in facts],
            "jobs": [self._job(job) for job in self.jobs.values()],
        }

    def _job(self, job: Job) -> dict[str, Any]:
        record = self.records.get(job.name)
        return {
            "name": job.name,
            "kind": job.kind,
            "status": record.status if record else WAITING,
            "seconds": record.seconds if record else None,
            "hardware": record.hardware if record else None,
            "error": record.error or None if record else None,
        }


def hours(records: Mapping[str, JobRecord], facts: Sequence[TrainingFacts]) -> dict[str, Any]:
    """By kind of work, trainings by trainer as they took wherever they were run; None for a trainer of which nothing
    is known."""
    training: dict[str, float | None] = {}
    for fold in facts:
        hours_so_far = training.get(fold.trainer, 0.0)
        training[fold.trainer] = None if hours_so_far is None or fold.hours is None else hours_so_far + fold.hours
    seconds = {
        kind: sum(record.seconds for record in records.values() if record.kind == kind)
        for kind in (PREDICTION, PLAN, EVALUATION)
    }
    known = math.fsum(value for value in training.values() if value is not None)
    return {
        "training": training,
        "prediction": seconds[PREDICTION] / 3600,
        "planning": seconds[PLAN] / 3600,
        "evaluation": seconds[EVALUATION] / 3600,
        "all": known + sum(seconds.values()) / 3600,
    }


def _hashes(benchmark: Benchmark) -> dict[str, Any]:
    first = benchmark.inputs.folds[benchmark.asked.folds[0]]
    return {
        "plans": first.plans,
        "dataset_json": first.dataset_json,
        "preprocessed": first.preprocessed,
        "folds": {str(fold): inputs.fold for fold, inputs in benchmark.inputs.folds.items()},
        "cases": sha256_of_json(benchmark.inputs.cases),
        "dose_predictor": benchmark.predictor_sha256,
    }


def _same(benchmark: Benchmark, facts: Sequence[TrainingFacts]) -> list[str]:
    try:
        return same_in_words(benchmark, facts) if facts else []
    except DoseloError as error:
        return [f"NOT the same: {error}"]


def _training(facts: TrainingFacts) -> dict[str, Any]:
    return {
        "trainer": facts.trainer,
        "fold": facts.fold,
        **({} if facts.seed is None else {"seed": facts.seed}),
        "epochs": facts.epochs,
        "iterations": facts.iterations,
        "seeds": list(facts.seeds),
        "hours": facts.hours,
        "hardware": list(facts.hardware),
    }


def _machines(facts: Sequence[TrainingFacts]) -> set[str]:
    return {name for training in facts for name in training.hardware}


def _created(file: Path) -> str:
    """When the first of its runs began."""
    if file.exists():
        return str(read_json(file, COMPARED_BY, keys=["created"])["created"])
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
