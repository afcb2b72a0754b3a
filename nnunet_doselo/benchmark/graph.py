"""Which jobs a benchmark consists of, and which of them need which."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunet_doselo.common.versions import version_of
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.evaluation.result_files import (
    COMPARISON_FORMAT,
    EVALUATION_FORMAT,
    NOISE_FLOOR,
    PLANS,
    PREDICTIONS,
    REFERENCE,
)

from . import work
from .jobs import DONE, Job, JobRecord
from .names import is_guided
from .setting import Benchmark
from .work import job_name

JOB_KINDS = ("training", "check", "prediction", "plan", "evaluation", "comparison")
TRAINING, CHECK, PREDICTION, PLAN, EVALUATION, COMPARISON = JOB_KINDS


def benchmark_jobs(benchmark: Benchmark) -> list[Job]:
    """All but the comparison, each after what it needs: plans of the true contours first, then run by run."""
    return [
        *_true_contours(benchmark),
        *(
            job
            for run in benchmark.asked.runs
            for trainer in benchmark.asked.trainers
            for job in _run(benchmark, trainer, run)
        ),
    ]


def complete_trainers(benchmark: Benchmark, records: Mapping[str, JobRecord]) -> tuple[str, ...]:
    """Those of which every run is scored."""

    def is_scored(trainer: str, run: FoldSeed) -> bool:
        record = records.get(job_name(EVALUATION, trainer, run))
        return record is not None and record.status == DONE

    asked = benchmark.asked
    return tuple(trainer for trainer in asked.trainers if all(is_scored(trainer, run) for run in asked.runs))


def comparison_job(
    benchmark: Benchmark, trainers: tuple[str, ...], records: Mapping[str, JobRecord], remarks: Sequence[str]
) -> Job:
    """Of trainers that are complete; with the noise floor if that could be measured."""
    noise = records.get(f"{EVALUATION}-{NOISE_FLOOR}")
    measured = noise is not None and noise.status == DONE
    evaluations = [job_name(EVALUATION, trainer, run) for trainer in trainers for run in benchmark.asked.runs]
    results = {name: records[name].result for name in [*evaluations, *([noise.name] if noise and measured else [])]}
    return Job(
        COMPARISON,
        COMPARISON,
        work.compare_with_baseline,
        (benchmark, trainers, benchmark.noise_floor if measured else None, tuple(remarks)),
        {
            "format": COMPARISON_FORMAT,
            "results": results,
            "baseline": benchmark.asked.baseline,
            "remarks": list(remarks),
            **_package(),
        },
    )


def _true_contours(benchmark: Benchmark) -> Iterator[Job]:
    again = []
    for case in benchmark.all_cases:
        labels = benchmark.dataset.path("labels", case, benchmark.split)
        yield _plan(benchmark, f"{PLAN}-{REFERENCE}-{case}", case, labels, benchmark.reference)
        again.append(f"{PLAN}-{NOISE_FLOOR}-{case}")
        yield _plan(benchmark, again[-1], case, labels, benchmark.noise_floor / PLANS, _reference(case))
    yield Job(
        f"{EVALUATION}-{NOISE_FLOOR}",
        EVALUATION,
        work.evaluate_noise_floor,
        (benchmark,),
        _evaluated(benchmark),
        tuple(again),
    )


def _run(benchmark: Benchmark, trainer: str, run: FoldSeed) -> Iterator[Job]:
    which = (benchmark, trainer, run)
    names = {kind: job_name(kind, trainer, run) for kind in JOB_KINDS}
    yield Job(names[TRAINING], TRAINING, work.train_fold, which, _trained(*which), heavy=True)
    expected = {**_trained(*which), **_package()}
    yield Job(names[CHECK], CHECK, work.check_fold, which, expected, (names[TRAINING],))
    images = {"split": benchmark.split, **_scored(benchmark)}
    yield Job(
        names[PREDICTION], PREDICTION, work.predict_fold, which, images, (names[TRAINING], names[CHECK]), heavy=True
    )
    plans, folder = [], benchmark.evaluation(trainer, run)
    for case in benchmark.cases[run.trained_fold]:
        labels = folder / PREDICTIONS / f"{case}{benchmark.dataset.ending}"
        plans.append(job_name(PLAN, trainer, run, case))
        yield _plan(benchmark, plans[-1], case, labels, folder / PLANS, names[PREDICTION], _reference(case))
    yield Job(
        names[EVALUATION], EVALUATION, work.evaluate_fold, which, _evaluated(benchmark), (names[PREDICTION], *plans)
    )


def _reference(case: str) -> str:
    return f"{PLAN}-{REFERENCE}-{case}"


def _plan(benchmark: Benchmark, name: str, case: str, labels: Path, output: Path, *needs: str) -> Job:
    """Planned like the reference, if that is among the needs."""
    like = benchmark.reference if _reference(case) in needs else None
    guidance = benchmark.dataset.guidance
    settings = {
        "engine": benchmark.asked.engine,
        "case": benchmark.inputs.cases[case],
        "target_gy": guidance.target_gy,
        "oars": guidance.oars,
        **_package(),
    }
    return Job(name, PLAN, work.plan_labels, (benchmark, case, labels, output, like), settings, needs)


def _trained(benchmark: Benchmark, trainer: str, run: FoldSeed) -> dict[str, Any]:
    inputs = benchmark.inputs.folds[run.trained_fold]
    return {
        "seed": benchmark.asked.seed_of(run),
        "inputs": [inputs.plans, inputs.dataset_json, inputs.fold, inputs.preprocessed],
        "predictor": benchmark.predictor_sha256 if is_guided(trainer) else None,
    }


def _scored(benchmark: Benchmark) -> dict[str, Any]:
    return {"cases": benchmark.inputs.cases, **_package()}


def _evaluated(benchmark: Benchmark) -> dict[str, Any]:
    """Evaluations of another format are made anew."""
    return {"format": EVALUATION_FORMAT, **_scored(benchmark)}


def _package() -> dict[str, str]:
    return {"nnunet-doselo": version_of("nnunet-doselo")}
