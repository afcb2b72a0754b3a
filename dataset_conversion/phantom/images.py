"""Images of a composition: CT numbers, and the four MR sequences from their signal equations."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from nnunet_doselo.dataset.geometry import AIR_HU

from .pose import Axes
from .random_fields import smooth_field
from .tissues import TISSUES, Composition, Tissue

SEQUENCES = ("T1c", "T1", "T2", "FLAIR")
RELAXIVITY = 3.5
"""Of a usual contrast agent at 3 T: 1/s by which 1 mmol/l speeds up longitudinal relaxation."""
CT_NOISE_HU, CT_TEXTURE_HU, CT_TEXTURE_KNOT_MM = 6.0, 3.0, 8.0
BIAS, BIAS_KNOT_MM = 0.09, 90.0
MR_NOISE = (0.02, 0.05)
"""Range of the noise's standard deviation, relative to the signal of white matter."""


@dataclass(frozen=True)
class PulseSequence:
    """A spin echo: repetition, echo and, with an inversion pulse before it, inversion time, in ms."""

    tr_ms: float
    te_ms: float
    ti_ms: float | None = None
    with_contrast: bool = False

    def signal(self, tissue: Tissue) -> float:
        """Magnitude, relative to fully relaxed water: density (1 - 2 exp(-TI/T1) + exp(-TR/T1)) exp(-TE/T2)."""
        t1_ms = self.t1_ms(tissue)
        inverted = 0.0 if self.ti_ms is None else 2 * np.exp(-self.ti_ms / t1_ms)
        recovery = np.exp(-self.tr_ms / t1_ms)
        relaxed = 1 - recovery if self.ti_ms is None else abs(1 - inverted + recovery)
        return float(tissue.density * relaxed * np.exp(-self.te_ms / tissue.t2_ms))

    def t1_ms(self, tissue: Tissue) -> float:
        agent = tissue.gadolinium_mm if self.with_contrast else 0.0
        return 1 / (1 / tissue.t1_ms + RELAXIVITY * agent / 1000)


PROTOCOL = {
    "T1c": PulseSequence(tr_ms=2000, te_ms=3, ti_ms=900, with_contrast=True),
    "T1": PulseSequence(tr_ms=2000, te_ms=3, ti_ms=900),
    "T2": PulseSequence(tr_ms=5000, te_ms=95),
    "FLAIR": PulseSequence(tr_ms=9000, te_ms=115, ti_ms=2500),
}


def ct_image(composition: Composition, axes: Axes, rng: Generator) -> np.ndarray:
    """HU (Z, Y, X), int16, with noise everywhere but in the air around the patient."""
    bone = rng.normal(0, 100)
    numbers = {name: tissue.hu + (bone if name == "bone" else rng.normal(0, 2)) for name, tissue in TISSUES.items()}
    numbers["air"] = TISSUES["air"].hu
    hu = composition.mixed(numbers)
    noise = CT_TEXTURE_HU * smooth_field(rng, axes, CT_TEXTURE_KNOT_MM)
    noise += rng.normal(0, CT_NOISE_HU, hu.shape).astype(np.float32)
    hu += np.where(composition.share("air") < 1, noise, 0)
    return np.clip(np.rint(hu), AIR_HU, None).astype(np.int16)


def mr_images(composition: Composition, axes: Axes, rng: Generator) -> tuple[np.ndarray, ...]:
    """T1c, T1, T2 and FLAIR, float32 (Z, Y, X), in the order of `SEQUENCES`, each in a unit of its own.

    Every patient has slightly other timings. The coil's sensitivity varies slowly in space, the same for all four;
    noise is that of a magnitude image (Rice).
    """
    timing = rng.uniform(0.92, 1.08)
    bias = np.exp(BIAS * smooth_field(rng, axes, BIAS_KNOT_MM))
    return tuple(_mr_image(composition, _timed(PROTOCOL[name], timing), bias, rng) for name in SEQUENCES)


def _timed(sequence: PulseSequence, factor: float) -> PulseSequence:
    """Repetition and echo time vary; the inversion time stays, or CSF would not be dark."""
    return replace(sequence, tr_ms=sequence.tr_ms * factor, te_ms=sequence.te_ms * factor)


def _mr_image(composition: Composition, sequence: PulseSequence, bias: np.ndarray, rng: Generator) -> np.ndarray:
    signal = bias * composition.mixed({name: sequence.signal(tissue) for name, tissue in TISSUES.items()})
    sd = rng.uniform(*MR_NOISE) * sequence.signal(TISSUES["white"])
    real, imaginary = rng.normal(0, sd, (2, *signal.shape))
    gain = 1000 * rng.uniform(0.7, 1.4)
    return (gain * np.hypot(signal + real, imaginary)).astype(np.float32)
