"""One synthetic patient, from a seed and a number to arrays and the record of what was drawn."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.structures import Overlap, paint_organs

from .anatomy import draw_anatomy
from .distractors import paint_distractors
from .images import ct_image, mr_images
from .lesion import Resection, paint_lesion
from .organs import PHANTOM_OARS
from .random_fields import generator
from .target import describe_target, draw_target


@dataclass(frozen=True)
class SyntheticPatient:
    """Arrays are (Z, Y, X) on `grid`.

    images: T1c, T1, T2, FLAIR, float32. ct_hu: int16. oars: label map after `PHANTOM_OARS`; overlaps: what was lost.
    gtv, brain, distractors: boolean; the GTV lies in the brain, distractors outside the GTV.
    record: what was drawn, as JSON can hold it.
    """

    grid: Grid
    images: tuple[np.ndarray, ...]
    ct_hu: np.ndarray
    oars: np.ndarray
    overlaps: list[Overlap]
    gtv: np.ndarray
    brain: np.ndarray
    distractors: np.ndarray
    record: dict[str, Any]


def make_patient(seed: int, number: int, spacing_mm: float) -> SyntheticPatient:
    """Patient `number` of cohort `seed`: the same arrays on every call, whatever else is made."""
    anatomy = draw_anatomy(generator(seed, number, "anatomy"), spacing_mm)
    tumour = generator(seed, number, "tumour")
    target = draw_target(anatomy, tumour)
    resection = Resection.draw(tumour)
    paint_lesion(anatomy, target.mask, resection, tumour)
    painted, where_painted = paint_distractors(anatomy, target.mask, generator(seed, number, "distractors"))
    oars, overlaps = paint_organs(anatomy.masks, PHANTOM_OARS)
    rng = generator(seed, number, "images")
    return SyntheticPatient(
        grid=anatomy.grid,
        images=mr_images(anatomy.composition, anatomy.axes, rng),
        ct_hu=ct_image(anatomy.composition, anatomy.axes, rng),
        oars=oars,
        overlaps=overlaps,
        gtv=target.mask,
        brain=anatomy.brain,
        distractors=where_painted,
        record={
            "seed": seed,
            "number": number,
            "target": describe_target(target, anatomy),
            "resection": asdict(resection),
            "distractors": [asdict(distractor) for distractor in painted],
        },
    )
