import dataclasses

import phantoms
import pytest

from nnunet_doselo.dataset.structures import Overlap
from nnunet_doselo.dataset_conversion.cases.record import lost_cc, print_lost


def test_voxels_become_cc() -> None:
    grid = dataclasses.replace(phantoms.grid_for(), spacing=(1.0, 2.0, 5.0))
    assert lost_cc([Overlap("Chiasm", "Brain", 250)], grid) == {("Chiasm", "Brain"): 2.5}


def test_pairs_are_added_over_cases_and_the_largest_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_lost([{("A", "B"): 1.0, ("C", "D"): 1.5}, {("A", "B"): 1.25}, {}])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "  overlap: A over B, 2.2 cc in all",
        "  overlap: C over D, 1.5 cc in all",
    ]


def test_no_overlaps_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_lost([{}])
    assert capsys.readouterr().err == ""
