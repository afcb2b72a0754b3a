"""Structures of a label map: levels as they are declared, organs by value."""

import numpy as np

from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset.structure_masks import structure_masks

LABELS = np.array([0, 1, 2, 2]).reshape(1, 1, 4)
OARS = np.array([5, 3, 0, 0]).reshape(1, 1, 4)
GUIDANCE = DoseGuidance({"PTV56": 56.0, "PTV70": 70.0}, {"Cord": 5, "Larynx": 4})


def voxels(label_values: dict[str, list[int]]) -> dict[str, list[int]]:
    """Indices by structure."""
    found = structure_masks(LABELS, OARS, label_values, GUIDANCE)
    return {f"{one.kind} {one.name}": np.flatnonzero(one.mask).tolist() for one in found}


def test_targets_come_first_then_organs_also_those_that_are_not_there() -> None:
    found = voxels({"background": [0], "PTV56": [1], "PTV70": [2]})
    assert found == {"target PTV56": [1], "target PTV70": [2, 3], "organ Cord": [0], "organ Larynx": []}
    assert list(found) == ["target PTV56", "target PTV70", "organ Cord", "organ Larynx"]


def test_a_region_holds_its_boost() -> None:
    found = voxels({"PTV56": [1, 2], "PTV70": [2]})
    assert (found["target PTV56"], found["target PTV70"]) == ([1, 2, 3], [2, 3])
