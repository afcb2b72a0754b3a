"""The demo as data: the commands that it runs one after another, all of which can be typed by hand in its folder."""

import os
from dataclasses import dataclass

from nnunet_doselo.common.process import Command

from .settings import DemoSettings
from .small_plans import CONFIGURATION

DOSE_COHORT, SEGMENTATION_COHORT = "Dataset901_DemoDose", "Dataset902_DemoGTV"
DOSE_SEED, SEGMENTATION_SEED = "1000", "2000"
"""Cases of two cohorts differ because their seeds do."""
PREDICTOR = f"nnUNet_preprocessed/{DOSE_COHORT}/dose_predictor.ts"
CHECKPOINT = f"nnUNet_results/{DOSE_COHORT}/DosePredictor__default/last.ckpt"
PREPROCESSED = f"nnUNet_preprocessed/{SEGMENTATION_COHORT}"
TRAINERS = ("nnUNetTrainer", "nnUNetTrainerDOSELO")
BENCHMARK, REPORT = "benchmark", "benchmark/report.html"


@dataclass(frozen=True)
class Step:
    """Commands that belong together, as a shell reads them: variables may stand before the program (NAME=value).
    Files and folders are named relative to the demo's folder.

    finished: a file that appears last; where it is, the step is skipped. "": the commands know what is done.
    checkpoint: a file from which the last command goes on with --resume.
    partial: a folder that is removed when the step starts again, because its commands trust what they find there.
    """

    about: str
    commands: tuple[Command, ...]
    finished: str = ""
    checkpoint: str = ""
    partial: str = ""


def demo_steps(settings: DemoSettings) -> list[Step]:
    """All of them in order."""
    processes = ("-np", str(cores()))
    return [
        *_cohorts(settings, processes),
        _predictor(settings, processes),
        _planning(settings, processes),
        _benchmark(settings, processes),
        Step("report", (("doselo", "report", BENCHMARK),)),
    ]


def cores() -> int:
    """Of this machine, four at most: cohorts are small."""
    return min(4, os.cpu_count() or 1)


def _cohorts(settings: DemoSettings, processes: Command) -> list[Step]:
    variants = ("--variants", str(settings.variants))
    held_out = ("--test-cases", str(settings.test_cases))
    voxels = ("--spacing", f"{settings.spacing_mm:g}", *processes)
    return [
        Step(
            "cohort for the dose predictor: synthetic heads, a dose planned for each tumour",
            (
                (
                    *("doselo", "phantom", "901", "--name", "DemoDose", "--cases", str(settings.predictor_cases)),
                    *("--seed", DOSE_SEED, *variants, *voxels),
                ),
            ),
        ),
        Step(
            "cohort for segmentation: other synthetic heads, some of them held out for the test",
            (
                (
                    *("doselo", "phantom", "902", "--name", "DemoGTV", "--cases", str(settings.training_cases)),
                    *("--seed", SEGMENTATION_SEED, *held_out, *voxels),
                ),
            ),
        ),
    ]


def _predictor(settings: DemoSettings, processes: Command) -> Step:
    return Step(
        "dose predictor: from CT, organs and target to dose, trained on the first cohort",
        (
            (
                *("doselo", "train-predictor", "901", "--width", f"{settings.predictor_width:g}"),
                *("--epochs", str(settings.predictor_epochs), "--iterations", str(settings.predictor_iterations)),
                *("--batch-size", str(settings.predictor_batch), *processes),
            ),
        ),
        finished=PREDICTOR,
        checkpoint=CHECKPOINT,
    )


def _planning(settings: DemoSettings, processes: Command) -> Step:
    features = ",".join(map(str, settings.features))
    return Step(
        "planning and preprocessing by nnU-Net, then a small configuration for both trainers",
        (
            ("python", "-m", "nnunet_doselo.demo.small_fingerprint", "902", *processes),
            ("nnUNetv2_plan_and_preprocess", "-d", "902", "-c", "2d", *processes),
            (
                *("python", "-m", "nnunet_doselo.demo.small_plans", PREPROCESSED, "--features", features),
                *("--batch-size", str(settings.batch_size), "--validation-cases", str(settings.validation_cases)),
            ),
        ),
        finished=f"{PREPROCESSED}/splits_final.json",
        partial=PREPROCESSED,
    )


def _benchmark(settings: DemoSettings, processes: Command) -> Step:
    trainers = [f"{name}_{settings.epochs}epochs_{settings.iterations}iterations" for name in TRAINERS]
    # data loaded inside the trainings: both trainers see the same batches (nnU-Net's planning wants 1 or more)
    return Step(
        "benchmark: both trainers draw the tumours of the test patients, and a dose is planned for each contour",
        (
            (
                *("nnUNet_n_proc_DA=0", "doselo", "benchmark", "902", CONFIGURATION, "--trainers", *trainers),
                *("--folds", "0", "--device", "cpu", *processes, "-o", BENCHMARK),
            ),
        ),
    )
