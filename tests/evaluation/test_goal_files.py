"""Which goals a dataset gets, and gamma criteria as people type them."""

from pathlib import Path

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.evaluation.gamma import GammaCriterion, parse_gamma
from nnunet_doselo.evaluation.goal_files import STARTER_RX_GY, choose_goals, starter_goals

HEAD = DoseGuidance({"GTV": 60.0}, {"Brainstem": 1, "Eye_L": 2})


def test_every_starter_is_for_a_prescription() -> None:
    assert sorted(STARTER_RX_GY) == starter_goals()


def test_the_starter_of_the_prescription_is_taken_for_the_structures_there_are() -> None:
    found = choose_goals(None, HEAD)
    assert {goal.structure for goal in found.goals} == {"GTV", "Brainstem", "Eye_L"}
    assert found.origin == "the starter brain, for 60 Gy and the organs of this dataset"
    neck = DoseGuidance({"PTV70": 70.0, "PTV56": 56.0}, {"Parotid_L": 1})
    assert {goal.structure for goal in choose_goals(None, neck).goals} == {"PTV70", "PTV56", "Parotid_L"}


@pytest.mark.parametrize(
    "guidance",
    [DoseGuidance({"GTV": 50.0}, {"Brainstem": 1}), DoseGuidance({"GTV": 60.0}, {"Lung_L": 1})],
    ids=["other prescription", "other organs"],
)
def test_no_starter_is_forced_on_a_dataset(guidance: DoseGuidance) -> None:
    found = choose_goals(None, guidance)
    assert found.goals == ()
    assert found.origin.startswith("none: no starter fits")


def test_what_is_asked_for_is_taken_whole(tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text("Misspelt: Dmean <= 3 Gy\n")
    (goal,) = choose_goals(file, HEAD).goals
    assert goal.structure == "Misspelt"
    assert choose_goals(str(file), HEAD).origin == str(file)
    assert {"PTV70", "Lips"} <= {goal.structure for goal in choose_goals("head_and_neck", HEAD).goals}
    assert choose_goals("none", HEAD).goals == ()


@pytest.mark.parametrize("text", ["3%/2mm", " 3 % / 2 mm", "3.0%/2mm"])
def test_a_gamma_criterion_is_read(text: str) -> None:
    assert parse_gamma(text) == GammaCriterion(3, 2)
    assert parse_gamma("2.5%/1.5mm") == GammaCriterion(2.5, 1.5, 10)


@pytest.mark.parametrize("text", ["3/2", "3%", "3mm/2%", "0%/2mm", "3%/0mm", "-3%/2mm", ""])
def test_another_form_of_criterion_is_refused(text: str) -> None:
    with pytest.raises(DoseloError, match="must look like 3%/2mm"):
        parse_gamma(text)


def test_the_criterion_is_told_in_words() -> None:
    assert GammaCriterion().text == "global 3 %/2 mm, of the prescription; voxels of at least 10 % of it"
