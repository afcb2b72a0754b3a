"""Targets and organs as masks, one at a time: what doses are read in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nnunet_doselo.dataset.guidance import DoseGuidance

Kind = Literal["target", "organ"]


@dataclass(frozen=True, eq=False)
class Structure:
    """mask: (Z, Y, X) boolean, all False where the patient lacks the structure."""

    name: str
    kind: Kind
    mask: np.ndarray


def structure_masks(
    labels: np.ndarray, oars: np.ndarray, label_values: Mapping[str, Sequence[int]], guidance: DoseGuidance
) -> Iterator[Structure]:
    """Targets, then organs, in the order they are declared.

    Dose levels are as the label map has them: a voxel of a boost belongs to a lower level too where that level is one
    of nnU-Net's regions, and does not where it is a label of its own.

    Parameters
    ----------
    labels, oars: (Z, Y, X) label maps.
    label_values: values in `labels` by name; has every target of `guidance`.
    """
    for name in guidance.target_gy:
        yield Structure(name, "target", np.isin(labels, label_values[name]))
    for name, value in guidance.oars.items():
        yield Structure(name, "organ", oars == value)
