import numpy as np
import pytest

from nnunet_doselo.dataset.structures import OPENKBP_TO_TG263, Overlap, paint_organs, paint_targets


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
