"""What the jobs of a benchmark do, wherever they run."""

import os
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing, write_json
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.common.nnunet_environment import BEST_CHECKPOINT, FINAL_CHECKPOINT, LATEST_CHECKPOINT
from nnunet_doselo.common.process import installed
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.evaluation.result_files import COMPARISON_FILE, CURVES_FILE, EVALUATION_FILE, PLANS, PREDICTIONS
from nnunet_doselo.planning.cohort_plans import PlanTask, plan_case
from nnunet_doselo.planning.plan_record import read_record, record_path
from nnunet_doselo.scoring import contour_folder
from nnunet_doselo.scoring.dose_sources import PlannedDoses

from .benchmark_run import Run
from .jobs import Made
from .names import titles
from .same import checked, validated_cases
from .setting import Benchmark, seeded
from .training_facts import read_training
from .training_inputs import INPUTS_FILE

UNFINISHED = (LATEST_CHECKPOINT, BEST_CHECKPOINT)


def job_name(kind: str, trainer: str, which: FoldSeed, case: str = "") -> str:
    return "-".join(filter(None, [kind, trainer, which.folder_name, case]))


def train_fold(run: Run, benchmark: Benchmark, trainer: str, which: FoldSeed) -> Made:
    """Take over what nnU-Net has finished, continue what it has begun, else train from the beginning."""
    training = benchmark.training(trainer, which)
    final = training / FINAL_CHECKPOINT
    if final.exists():
        benchmark.inputs.folds[which.trained_fold].require_same(training)
    elif any((training / name).exists() for name in UNFINISHED):
        benchmark.inputs.folds[which.trained_fold].require_same(training)
        run.command(job_name("training", trainer, which), _training_command(benchmark, trainer, which, "--c"))
    else:
        _train_anew(run, benchmark, trainer, which)
    return Made({"checkpoint_sha256": sha256_of(final)}, (final,))


def _train_anew(run: Run, benchmark: Benchmark, trainer: str, which: FoldSeed) -> None:
    training = benchmark.training(trainer, which)
    benchmark.inputs.folds[which.trained_fold].write(training)
    try:
        run.command(job_name("training", trainer, which), _training_command(benchmark, trainer, which))
    finally:
        if not any((training / name).exists() for name in (FINAL_CHECKPOINT, *UNFINISHED)):
            # it came to nothing: the note must not vouch for what somebody else trains there
            (training / INPUTS_FILE).unlink(missing_ok=True)
            with suppress(OSError):
                training.rmdir()
                training.parent.rmdir()


def _training_command(benchmark: Benchmark, trainer: str, which: FoldSeed, *more: str) -> list[str]:
    asked = benchmark.asked
    return [
        *(sys.executable, "-m", "nnunet_doselo.benchmark.seeded_training", str(asked.seed_of(which))),
        *(benchmark.dataset.folder.name, asked.configuration, str(which.fold)),
        *("-tr", seeded(trainer, which), "-p", asked.plans, "-device", asked.device, *more),
    ]


def check_fold(run: Run, benchmark: Benchmark, trainer: str, which: FoldSeed) -> Made:
    """Is the training one that may be compared with the others? Its facts; writes its curves."""
    facts, curves = read_training(benchmark.training(trainer, which), trainer, which)
    file = benchmark.evaluation(trainer, which) / CURVES_FILE
    write_json(file, curves)
    return Made(asdict(checked(facts, benchmark)), (file,))


def predict_fold(run: Run, benchmark: Benchmark, trainer: str, which: FoldSeed) -> Made:
    """Contours of the cases that the fold is scored on, into predictions/ of its evaluation."""
    name, asked = job_name("prediction", trainer, which), benchmark.asked
    output = benchmark.evaluation(trainer, which) / PREDICTIONS
    if benchmark.split == "Tr":
        _validate(run, benchmark, trainer, which)
        for case in benchmark.cases[which.trained_fold]:
            _copy(benchmark.training(trainer, which) / "validation" / f"{case}{benchmark.dataset.ending}", output)
    else:
        images = str(benchmark.dataset.folder / "imagesTs")
        command = ["nnUNetv2_predict", "-i", images, "-o", str(output), "-d", benchmark.dataset.folder.name]
        network = ["-c", asked.configuration, "-f", str(which.fold), "-tr", seeded(trainer, which), "-p", asked.plans]
        options = ["-device", asked.device, "-npp", _few(run), "-nps", _few(run)]
        run.command(name, installed([*command, *network, *options]))
    files = [output / f"{case}{benchmark.dataset.ending}" for case in benchmark.cases[which.trained_fold]]
    return Made({file.name: sha256_of(file) for file in files}, tuple(files))


def _few(run: Run) -> str:
    """Processes that load and export: nnU-Net's three, or fewer if its own setting or the machine has fewer."""
    return str(min(3, int(run.environment.get("nnUNet_def_n_proc") or os.cpu_count() or 1)))


def _validate(run: Run, benchmark: Benchmark, trainer: str, which: FoldSeed) -> None:
    """nnU-Net predicts a fold's validation cases when a training ends; made up for if it was cut short then."""
    asked, training = benchmark.asked, benchmark.training(trainer, which)
    if {*benchmark.cases[which.trained_fold]} <= validated_cases(training, benchmark.dataset.ending):
        return
    command = ["nnUNetv2_train", benchmark.dataset.folder.name, asked.configuration, str(which.fold), "--val"]
    options = ["-tr", seeded(trainer, which), "-p", asked.plans, "-device", asked.device]
    run.command(job_name("prediction", trainer, which), installed([*command, *options]))


def _copy(file: Path, folder: Path) -> None:
    with all_or_nothing(folder / file.name) as partial:
        shutil.copyfile(file, partial)


def plan_labels(run: Run, benchmark: Benchmark, case: str, labels: Path, output: Path, like: Path | None) -> Made:
    """A dose for one label map; `like`: folder of the reference plans, None for those themselves."""
    record = read_record(like, case) if like else None
    if like and record is None:
        raise DoseloError(f"{record_path(like, case)}: the record of the reference plan must be there, found none")
    engine, ending = benchmark.asked.engine, benchmark.dataset.ending
    planned = plan_case(PlanTask(benchmark.dataset, case, benchmark.split, labels, output, engine, record))
    dose = output / f"{case}{ending}"
    return Made({"dose_sha256": sha256_of(dose), "remarks": planned.record.remarks}, (dose, record_path(output, case)))


def evaluate_fold(run: Run, benchmark: Benchmark, trainer: str, which: FoldSeed) -> Made:
    """Score a fold's contours."""
    folder, cases = benchmark.evaluation(trainer, which), benchmark.cases[which.trained_fold]
    return _evaluate(benchmark, folder / PREDICTIONS, folder, cases, trainer)


def evaluate_noise_floor(run: Run, benchmark: Benchmark) -> Made:
    """Score the true contours themselves, planned a second time."""
    labels = benchmark.dataset.folder / f"labels{benchmark.split}"
    return _evaluate(
        benchmark, labels, benchmark.noise_floor, tuple(benchmark.all_cases), "true contours, planned again"
    )


def _evaluate(benchmark: Benchmark, contours: Path, folder: Path, cases: tuple[str, ...], name: str) -> Made:
    source = PlannedDoses(benchmark.dataset, folder / PLANS, benchmark.reference, benchmark.split)
    contour_folder.evaluate_folder(
        benchmark.dataset, contours, source, folder, split=benchmark.split, cases=cases, name=name
    )
    file = folder / EVALUATION_FILE
    return Made({"evaluation_sha256": sha256_of(file)}, (file,))


def compare_with_baseline(
    run: Run, benchmark: Benchmark, trainers: tuple[str, ...], noise_floor: Path | None, remarks: tuple[str, ...]
) -> Made:
    """All runs of these trainers against the baseline."""
    from nnunet_doselo.evaluation.comparison import compare_evaluations

    contours = {
        trainer: {which: benchmark.evaluation(trainer, which) for which in benchmark.asked.runs} for trainer in trainers
    }
    compare_evaluations(
        benchmark.folder,
        contours,
        baseline=benchmark.asked.baseline,
        titles=titles(trainers),
        noise_floor=noise_floor,
        remarks=remarks,
    )
    return Made(None, (benchmark.folder / COMPARISON_FILE,))
