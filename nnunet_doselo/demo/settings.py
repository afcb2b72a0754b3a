"""How much of everything: sizes that two cores manage within the demo's time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoSettings:
    """Two cohorts that share no patient: one for the dose predictor, one for segmentation.

    variants: planned contours of each patient of the predictor's cohort, so that it sees wrong contours too.
    features: of the small U-Net that both trainers use, one number a stage; cut to the stages that nnU-Net plans.
    validation_cases: of the training cases, those that nnU-Net validates on.
    """

    spacing_mm: float
    predictor_cases: int
    variants: int
    predictor_width: float
    predictor_epochs: int
    predictor_iterations: int
    training_cases: int
    validation_cases: int
    test_cases: int
    epochs: int
    iterations: int
    batch_size: int
    features: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 < self.validation_cases < self.training_cases:
            raise ValueError(f"some of the training cases must be left to train on, found {self}")


FULL = DemoSettings(
    spacing_mm=5.0,
    predictor_cases=12,
    variants=2,
    predictor_width=0.5,
    predictor_epochs=8,
    predictor_iterations=60,
    training_cases=24,
    validation_cases=2,
    test_cases=4,
    epochs=8,
    iterations=60,
    batch_size=12,
    features=(16, 32, 64, 96, 96, 96),
)
QUICK = DemoSettings(
    spacing_mm=6.0,
    predictor_cases=5,
    variants=1,
    predictor_width=0.25,
    predictor_epochs=4,
    predictor_iterations=30,
    training_cases=10,
    validation_cases=1,
    test_cases=2,
    epochs=4,
    iterations=40,
    batch_size=12,
    features=(8, 16, 32, 48, 48, 48),
)
