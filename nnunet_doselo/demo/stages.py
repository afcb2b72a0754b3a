"""The demo as data: which commands run one after another, and what each of them leaves behind."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from .settings import DemoSettings
from .small_plans import CONFIGURATION

Command = tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """Commands that belong together; they run in the demo's folder, and all paths are relative to it.

    outputs: files and folders that the commands make; removed before the stage starts from scratch.
    resumable: an interrupted run of the same commands takes up its own outputs by itself.
    """

    name: str
    about: str
    commands: tuple[Command, ...]
    outputs: tuple[str, ...] = ()
    resumable: bool = False


@dataclass(frozen=True)
class Cohort:
    """A phantom dataset. Cases of two cohorts differ because their seeds do."""

    number: int
    name: str
    seed: int

    @property
    def folder(self) -> str:
        return f"Dataset{self.number:03d}_{self.name}"


@dataclass(frozen=True)
class Trainer:
    """`name` is nnU-Net's; `title` and `about` are for people; `key` names folders."""

    key: str
    base: str
    title: str
    about: str

    def name(self, settings: DemoSettings) -> str:
        return f"{self.base}_{settings.epochs}epochs_{settings.iterations}iterations"


PREDICTOR_COHORT = Cohort(901, "DemoDose", 1_000)
COHORT = Cohort(902, "DemoGTV", 2_000)
TRAINERS = (
    Trainer("default", "nnUNetTrainer", "default", "nnU-Net's own loss, Dice + cross-entropy"),
    Trainer("doselo", "nnUNetTrainerDOSELO", "DOSELO", "binary cross-entropy + dose segmentation loss, the paper's"),
)
NOISE_FLOOR = "noise_floor"


def demo_stages(settings: DemoSettings) -> list[Stage]:
    """All of them in order."""
    cores = str(_cores())
    return [
        *_cohorts(settings, cores),
        _preprocessing(settings, cores),
        _predictor(settings),
        *(stage for trainer in TRAINERS for stage in _trainer(trainer, settings)),
        _evaluation(cores),
    ]


def _cores() -> int:
    return min(4, os.cpu_count() or 1)


def _cohorts(settings: DemoSettings, cores: str) -> list[Stage]:
    variants = ("--variants", str(settings.variants))
    held_out = ("--test-cases", str(settings.test_cases))
    return [
        Stage(
            "cohort for the dose predictor",
            "synthetic heads with tumour, organs, CT and MR, each contour planned with the open planner",
            (_phantom(PREDICTOR_COHORT, settings.predictor_cases, settings, cores, variants),),
            (f"nnUNet_raw/{PREDICTOR_COHORT.folder}",),
            resumable=True,
        ),
        Stage(
            "cohort for segmentation",
            "other synthetic heads; some are held out and seen by no network",
            (
                _phantom(COHORT, settings.training_cases, settings, cores, held_out),
                ("doselo", "verify", str(COHORT.number), "-np", cores),
            ),
            (f"nnUNet_raw/{COHORT.folder}",),
            resumable=True,
        ),
    ]


def _phantom(cohort: Cohort, cases: int, settings: DemoSettings, cores: str, more: Sequence[str]) -> Command:
    return (
        *("doselo", "phantom", str(cohort.number), "--name", cohort.name, "--cases", str(cases)),
        *("--seed", str(cohort.seed), "--spacing", f"{settings.spacing_mm:g}", *more, "-np", cores),
    )


def _preprocessing(settings: DemoSettings, cores: str) -> Stage:
    preprocessed = f"nnUNet_preprocessed/{COHORT.folder}"
    small = ("--features", ",".join(map(str, settings.features)), "--batch-size", str(settings.batch_size))
    return Stage(
        "plan and preprocess",
        "nnU-Net's own planning, then a small configuration that both trainers use",
        (
            ("python", "-m", "nnunet_doselo.demo.small_fingerprint", str(COHORT.number), "-np", cores),
            ("nnUNetv2_plan_and_preprocess", "-d", str(COHORT.number), "-c", "2d", "-np", cores),
            (
                *("python", "-m", "nnunet_doselo.demo.small_plans", preprocessed, *small),
                *("--validation-cases", str(settings.validation_cases)),
            ),
        ),
        (preprocessed,),
    )


def _predictor(settings: DemoSettings) -> Stage:
    return Stage(
        "dose predictor",
        "CT, organs and target to dose, from the first cohort; frozen afterwards",
        (
            (
                *("doselo", "train-predictor", str(PREDICTOR_COHORT.number)),
                *("--width", f"{settings.predictor_width:g}", "--epochs", str(settings.predictor_epochs)),
                *("--iterations", str(settings.predictor_iterations), "--batch-size", str(settings.predictor_batch)),
            ),
        ),
        (f"nnUNet_results/{PREDICTOR_COHORT.folder}", f"nnUNet_preprocessed/{PREDICTOR_COHORT.folder}"),
    )


def _evaluation(cores: str) -> Stage:
    first, *others = TRAINERS
    versus = [word for trainer in others for word in ("--versus", f"predictions/{trainer.key}")]
    return Stage(
        "plan and evaluate",
        "a dose for each contour with the true contour's isocentre and beams; the true contours are planned twice, "
        "which tells what planning alone adds to every difference",
        (
            (
                *("doselo", "evaluate", f"predictions/{first.key}", str(COHORT.number), *versus),
                *("--dose-from", "planner", "-o", "scores", "--all-pictures", "-np", cores),
            ),
        ),
        ("scores",),
        resumable=True,
    )


def _trainer(trainer: Trainer, settings: DemoSettings) -> list[Stage]:
    number, name = str(COHORT.number), trainer.name(settings)
    which = ("-tr", name, "-device", "cpu")
    predictions = f"predictions/{trainer.key}"
    images = f"nnUNet_raw/{COHORT.folder}/imagesTs"
    return [
        Stage(
            f"train {trainer.title}",
            trainer.about,
            (("nnUNetv2_train", number, CONFIGURATION, "0", *which),),
            (f"nnUNet_results/{COHORT.folder}/{name}__nnUNetPlans__{CONFIGURATION}",),
        ),
        Stage(
            f"predict {trainer.title}",
            "contours from images alone",
            (
                (
                    *("nnUNetv2_predict", "-i", images, "-o", predictions, "-d", number, "-c", CONFIGURATION),
                    *("-f", "0", *which, "--disable_tta", "-npp", "1", "-nps", "1"),
                ),
            ),
            (predictions,),
        ),
    ]
