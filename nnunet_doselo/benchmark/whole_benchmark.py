"""`doselo benchmark` from beginning to end."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import write_json
from nnunet_doselo.common.nnunet_environment import FINAL_CHECKPOINT
from nnunet_doselo.evaluation.result_files import PREDICTOR_CARD_FILE

from .augmentation import require_one_augmentation
from .engine import run_jobs, running_in
from .graph import benchmark_jobs, comparison_job, complete_trainers
from .jobs import DONE, FAILED, Job, JobRecord
from .manifest import Manifest
from .names import keeps_to_domain
from .pools import Pools
from .progress import Tallies, display_of
from .same import same_in_words
from .setting import Asked, Benchmark, find_benchmark

if TYPE_CHECKING:
    from nnunet_doselo.predictor.artifact import FrozenPredictor


@dataclass(frozen=True)
class BenchmarkOutcome:
    """failed: their records. waiting: names of jobs that need one of these. compared: trainers in comparison.json."""

    benchmark: Benchmark
    failed: list[JobRecord]
    waiting: list[str]
    compared: tuple[str, ...]
    remarks: list[str]


def prepare_benchmark(asked: Asked, folder: Path) -> Benchmark:
    """What is compared, with the dose predictor; writes predictor_card.json if there is one.

    Raises
    ------
    DoseloError: something that is needed is missing or does not fit, found before anything is trained.
    """
    benchmark = find_benchmark(asked, folder)
    try:
        predictor = _predictor(benchmark)
    except DoseloError:
        if any(keeps_to_domain(trainer) for trainer in asked.trainers):
            raise
        return benchmark
    card = {**json.loads(predictor.card.to_json()), "sha256": predictor.sha256, "file": str(predictor.path)}
    write_json(benchmark.folder / PREDICTOR_CARD_FILE, card)
    benchmark = replace(benchmark, predictor_sha256=predictor.sha256, predictor_domain=predictor.domain)
    require_one_augmentation(benchmark)
    return benchmark


def _predictor(benchmark: Benchmark) -> "FrozenPredictor":
    from nnunet_doselo.predictor.artifact import find_predictor, load_predictor

    return load_predictor(find_predictor(benchmark.preprocessed, benchmark.dim))


def require_device(benchmark: Benchmark) -> None:
    """Raises DoseloError if something has to be trained here, on a GPU that is not there."""
    asked = benchmark.asked
    done = all((benchmark.training(t, run) / FINAL_CHECKPOINT).exists() for t in asked.trainers for run in asked.runs)
    if asked.device != "cuda" or done:
        return
    import torch

    if not torch.cuda.is_available():
        raise DoseloError("--device cuda: torch sees no CUDA device here; pass --device cpu, or give a --scheduler")


def run_benchmark(benchmark: Benchmark, pools: Pools, console: Console, command: str) -> BenchmarkOutcome:
    """Run all jobs that were not done before, then compare what is complete.

    Raises
    ------
    DoseloError: interrupted, or the executor was lost; the same command goes on.
    """
    manifest = Manifest(benchmark, command)
    with running_in(benchmark.folder, pools) as run:
        jobs = benchmark_jobs(benchmark)
        manifest.expect(jobs)
        tallies = Tallies(jobs, pools)
        with display_of(tallies, console) as display:
            records = run_jobs(jobs, run, pools, [manifest, tallies, display])
        compared = complete_trainers(benchmark, records)
        manifest.left_out = _left_out(benchmark, compared)
        if benchmark.asked.baseline in compared:
            same_in_words(benchmark, [facts for facts in manifest.facts() if facts.trainer in compared])
            comparison = comparison_job(benchmark, compared, records, manifest.remarks())
            manifest.expect([comparison])
            console.print(f"comparing {len(compared)} trainers")
            records |= run_jobs([comparison], run, pools, [manifest])
            jobs = [*jobs, comparison]
        manifest.write()
    return _outcome(benchmark, jobs, records, compared, manifest)


def _left_out(benchmark: Benchmark, compared: Sequence[str]) -> list[str]:
    """Comparisons are on the same runs and cases: who lacks a run is left out."""
    asked = benchmark.asked
    missing = [trainer for trainer in asked.trainers if trainer not in compared]
    if not missing:
        return []
    remarks = [f"left out of the comparison, because not all of their runs are there: {', '.join(missing)}"]
    if asked.baseline in missing:
        remarks.append(f"no comparison: the baseline {asked.baseline} is among them")
    return remarks


def _outcome(
    benchmark: Benchmark,
    jobs: Sequence[Job],
    records: dict[str, JobRecord],
    compared: tuple[str, ...],
    manifest: Manifest,
) -> BenchmarkOutcome:
    failed = [record for record in records.values() if record.status == FAILED]
    waiting = [job.name for job in jobs if job.name not in records]
    written = "comparison" in records and records["comparison"].status == DONE
    return BenchmarkOutcome(benchmark, failed, waiting, compared if written else (), manifest.remarks())
