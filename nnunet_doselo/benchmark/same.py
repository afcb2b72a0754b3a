"""The same data, folds, plans, lengths, seeds and predictor for all: asserted of every training, and said in words."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import read_json
from nnunet_doselo.planning.plan_record import ENGINE_NAMES

from .augmentation import augmentation_in_words, require_trained_under
from .names import is_guided, length_of, require_one_length
from .setting import Benchmark
from .training_facts import TrainingFacts
from .training_inputs import plans_of, require_equal, sha256_of_json

TRAINED_BY = "nnUNetv2_train"


def checked(facts: TrainingFacts, benchmark: Benchmark) -> TrainingFacts:
    """The facts of a finished training that may be compared with the others, with what could be made sure of.

    Raises
    ------
    DoseloError: it was trained on something else, for another time, from another seed, with another predictor or under
        another augmentation.
    """
    training, run = benchmark.training(facts.trainer, facts.run), facts.run
    inputs = benchmark.inputs.folds[run.trained_fold]
    noted = inputs.require_same(training)
    _require_model_of(benchmark, training.parent)
    _require_validated_on(benchmark, training, run.trained_fold)
    require_one_length({f"--trainers {facts.trainer}": length_of(facts.trainer), str(training): facts.length})
    if other := {*facts.seeds} - {seed := benchmark.asked.seed_of(run)}:
        raise DoseloError(
            f"{training}: must start from seed {seed} as those of other trainers, started from {min(other)}; pass "
            f"--seeds {min(other)} if all were trained with that, or move it away so that it is made anew"
        )
    if is_guided(facts.trainer):
        require_equal(f"{training}: the dose predictor", str(facts.predictor_sha256), str(benchmark.predictor_sha256))
    augmentation = require_trained_under(facts, benchmark, str(training))
    return replace(facts, noted=noted, augmentation=augmentation)


def same_in_words(benchmark: Benchmark, facts: Sequence[TrainingFacts]) -> list[str]:
    """What was asserted to be the same of these trainings, which have been `checked`.

    Raises
    ------
    DoseloError: they were not trained equally long.
    """
    length = require_one_length({known.name: known.length for known in facts})
    asked, inputs = benchmark.asked, benchmark.inputs.folds[benchmark.asked.folds[0]]
    noted = [training for training in facts if training.noted]
    seeded = [training for training in facts if training.seeds]
    guided = [training for training in facts if training.predictor_sha256]
    said = [
        f"plans {asked.plans}, configuration {asked.configuration} (SHA-256 {inputs.plans[:12]}), and dataset.json "
        f"({inputs.dataset_json[:12]})",
        f"preprocessed data ({inputs.preprocessed[:12]}), written down for {len(noted)} of {len(facts)} trainings",
        f"folds {', '.join(map(str, asked.folds))} of splits_final.json",
        f"{_seeds(asked.seeds)} at the start of {len(seeded)} of {len(facts)} trainings",
        f"the same {len(benchmark.all_cases)} cases of images{benchmark.split}, their labels, CT and organs "
        f"({sha256_of_json(benchmark.inputs.cases)[:12]})",
        f"{ENGINE_NAMES[asked.engine]}, with isocentre and beams of the true contour",
    ]
    if length:
        said.append(f"{length} in every training")
    if guided:
        said.append(f"one dose predictor for {len(guided)} guided trainings (SHA-256 {guided[0].predictor_sha256})")
    return [*said, *augmentation_in_words(facts)[0]]


def remarks_on_trainings(benchmark: Benchmark, facts: Sequence[TrainingFacts]) -> list[str]:
    """What could not be made sure of, or is not the same though it may not matter."""
    unseeded = [training for training in facts if not training.seeds]
    continued = [training for training in facts if len(training.seeds) > 1]
    not_noted = [training for training in facts if not training.noted]
    older = [training for training in not_noted if training.started and training.started < benchmark.inputs.newest]
    said = {
        "no record of a seed (not started by this benchmark)": unseeded,
        "interrupted and continued, where it was seeded anew": continued,
        "not begun by this benchmark, so its data are known from nnU-Net's copies of plans and dataset.json alone": (
            not_noted
        ),
        "begun before the preprocessed data were last written": older,
    }
    remarks = [f"{what}: {', '.join(training.name for training in those)}" for what, those in said.items() if those]
    if loaders := {count for training in facts for count in training.loader_processes} - {"0"}:
        remarks.append(
            "batches differ between trainers, because nnU-Net's loader processes seed themselves (nnUNet_n_proc_DA: "
            f"{', '.join(sorted(loaders))}; 0 makes them alike)"
        )
    if len(machines := {name for training in facts for name in training.hardware}) > 1:
        remarks.append(f"trained on different hardware: {', '.join(sorted(machines))}")
    return [*remarks, *augmentation_in_words(facts)[1]]


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _require_model_of(benchmark: Benchmark, model: Path) -> None:
    """nnU-Net's own copies of plans and dataset.json say what a network was trained with."""
    asked = benchmark.asked
    now = benchmark.inputs.folds[asked.folds[0]]
    plans = plans_of(
        read_json(model / "plans.json", TRAINED_BY, keys=["configurations"]),
        asked.configuration,
        str(model / "plans.json"),
    )
    require_equal(f"{model}: plans of {asked.configuration}", sha256_of_json(plans), now.plans)
    require_equal(
        f"{model}: dataset.json", sha256_of_json(read_json(model / "dataset.json", TRAINED_BY)), now.dataset_json
    )


def _require_validated_on(benchmark: Benchmark, training: Path, fold: int) -> None:
    """The validation that ends a training names the fold's cases; nothing to see where it was cut short."""
    summary = training / "validation" / "summary.json"
    if not summary.exists():
        return
    different = sorted(validated_cases(training, benchmark.dataset.ending) ^ {*benchmark.validation[fold]})
    if different:
        raise DoseloError(
            f"{training}: must be validated on fold {fold} of splits_final.json, which differs in {len(different)} "
            f"cases, for example {different[0]}; put back the splits it was trained with, or move it away"
        )


def validated_cases(training: Path, ending: str) -> set[str]:
    """Those of nnU-Net's final validation, complete; empty if there is none."""
    summary = training / "validation" / "summary.json"
    if not summary.exists():
        return set()
    scored = read_json(summary, f"{TRAINED_BY} --val", keys=["metric_per_case"])["metric_per_case"]
    return {Path(case["prediction_file"]).name.removesuffix(ending) for case in scored}
