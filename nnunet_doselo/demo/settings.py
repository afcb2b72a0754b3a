"""How much of everything: sizes that two cores manage within the demo's time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoSettings:
    """Two cohorts that share no patient: one for the dose predictor, one for segmentation.

    variants: planned contours of each patient of the predictor's cohort, so that it sees wrong contours too.
    predictor_width: factor on the dose predictor's channels.
    validation_cases: of the training cases, those that nnU-Net validates on.
    features: of the small U-Net that both trainers use, one number a stage; cut to the stages that nnU-Net plans.
    batch_size: of both trainers. Steps are what a short training with cross-entropy lacks: with twelve slices a batch
        it left every patient empty after 360 steps, with two it found the tumours after 300, in a sixth of the time.
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
    predictor_batch: int = 8
    batch_size: int = 2
    features: tuple[int, ...] = (32, 64, 128, 128, 128, 128)

    def __post_init__(self) -> None:
        if not 0 < self.validation_cases < self.training_cases:
            raise ValueError(f"some of the training cases must be left to train on, found {self}")


FULL = DemoSettings(
    spacing_mm=5.0,
    predictor_cases=10,
    variants=1,
    predictor_width=0.25,
    predictor_epochs=8,
    predictor_iterations=60,
    training_cases=20,
    validation_cases=2,
    test_cases=4,
    epochs=10,
    iterations=60,
)
QUICK = DemoSettings(
    spacing_mm=6.0,
    predictor_cases=3,
    variants=0,
    predictor_width=0.25,
    predictor_epochs=4,
    predictor_iterations=50,
    training_cases=6,
    validation_cases=1,
    test_cases=2,
    epochs=4,
    iterations=50,
)
