"""`map_cases` with functions that another process can import from here."""

import time

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import default_processes, map_cases


def slow_first(item: int) -> int:
    time.sleep(0.2 if item == 1 else 0)
    return item * item


def fails_at_2(item: int) -> int:
    if item == 2:
        raise ValueError("no such organ")
    return item


def refuses_2(item: int) -> int:
    if item == 2:
        raise DoseloError("found nothing")
    return item


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_items(processes: int) -> None:
    assert map_cases(slow_first, [1, 2, 3], processes=processes, description="Squares") == [1, 4, 9]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_names_its_case_and_kind(processes: int) -> None:
    with pytest.raises(DoseloError, match=r"^case pt_2: ValueError: no such organ$"):
        map_cases(fails_at_2, [1, 2, 3], processes=processes, description="Cases", name_of=lambda item: f"pt_{item}")


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_ours_is_quoted_as_it_is(processes: int) -> None:
    with pytest.raises(DoseloError, match=r"^case 2: found nothing$"):
        map_cases(refuses_2, [1, 2], processes=processes, description="Cases")


def test_no_items_no_work() -> None:
    assert map_cases(fails_at_2, [], processes=4, description="Nothing") == []


def test_the_number_of_processes_is_nnunets_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_def_n_proc", "3")
    assert default_processes() == 3
    monkeypatch.delenv("nnUNet_def_n_proc")
    assert 1 <= default_processes() <= 8
