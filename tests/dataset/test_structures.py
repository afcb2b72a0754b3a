import numpy as np
import pytest

from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset.structures import OPENKBP_TO_TG263, Overlap, paint_organs, paint_targets, structure_masks

LABELS = np.array([0, 1, 2, 2]).reshape(1, 1, 4)
OARS = np.array([5, 3, 0, 0]).reshape(1, 1, 4)
GUIDANCE = DoseGuidance({"PTV56": 56.0, "PTV70": 70.0}, {"Cord": 5, "Larynx": 4})


def row(text: str) -> np.ndarray:
    return np.array([c == "#" for c in text])


def test_the_smaller_organ_lies_on_top_and_the_loss_is_reported() -> None:
    masks = {"Chiasm": row("..##.."), "Brain": row("#####.")}
    labels, overlaps = paint_organs(masks, {"Brain": 1, "Chiasm": 7})
    assert labels.tolist() == [1, 1, 7, 7, 1, 0]
    assert labels.dtype == np.uint8
    assert overlaps == [Overlap(kept="Chiasm", lost="Brain", voxels=2)]


def test_organs_of_one_size_are_ordered_by_name_not_by_the_order_given() -> None:
    masks = {"B": row(".##"), "A": row("##.")}
    swapped = dict(reversed(masks.items()))
    values = {"A": 1, "B": 2}
    assert paint_organs(masks, values)[0].tolist() == [1, 2, 2]
    assert paint_organs(swapped, values)[0].tolist() == [1, 2, 2]


def test_a_voxel_is_lost_once_where_three_organs_overlap() -> None:
    masks = {"Large": row("####"), "Middle": row(".###"), "Small": row("..##")}
    labels, overlaps = paint_organs(masks, {"Large": 1, "Middle": 2, "Small": 3})
    assert labels.tolist() == [1, 2, 3, 3]
    assert overlaps == [Overlap("Middle", "Large", 3), Overlap("Small", "Middle", 2)]


def test_an_empty_organ_leaves_no_trace() -> None:
    labels, overlaps = paint_organs({"A": row("##"), "Empty": row("..")}, {"A": 1, "Empty": 2})
    assert labels.tolist() == [1, 1]
    assert overlaps == []


def test_the_higher_prescription_wins_even_if_it_is_the_larger_target() -> None:
    masks = {"PTV70": row(".####"), "PTV56": row("##...")}
    labels, overlaps = paint_targets(masks, {"PTV56": 1, "PTV70": 3}, {"PTV56": 56.0, "PTV70": 70.0})
    assert labels.tolist() == [1, 3, 3, 3, 3]
    assert overlaps == [Overlap("PTV70", "PTV56", 1)]


@pytest.mark.parametrize("name", ["Parotid_L", "Parotid_R", "Bone_Mandible", "Brainstem"])
def test_openkbp_organs_have_their_tg263_names(name: str) -> None:
    assert name in OPENKBP_TO_TG263.values()


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
