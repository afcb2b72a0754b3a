"""`map_cases` with functions that another process can import from here."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import DIED, attempt_cases, default_processes, map_cases
from nnunet_doselo.common.workers import Workers


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


def killed_at_3(item: int, folder: Path) -> int:
    """3 is begun first and outlives two of the others: whose process died is not who came to an end next."""
    if item == 3:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(item)).touch()
    return item


def killed_in_company(item: int, folder: Path) -> int:
    """Two cases at once are too much for the memory, one is not."""
    (folder / str(item)).touch()
    time.sleep(0.3)
    if item == 1 and len([*folder.iterdir()]) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / str(item)).unlink()
    return item


class TakesTwo(Exception):
    """Can be pickled, but not be made again."""

    def __init__(self, one_word: str, other_word: str) -> None:
        super().__init__(f"{one_word} {other_word}")


def raises_what_does_not_travel(item: int) -> int:
    raise TakesTwo("no", "grid")


def cannot_start() -> None:
    os._exit(7)


@pytest.mark.parametrize("items", [[3, 0, 1, 2, 4, 5], [0, 1, 2, 4, 5, 3]])
def test_a_process_that_is_killed_is_told_with_its_case_and_the_others_are_done(
    items: list[int], tmp_path: Path
) -> None:
    with pytest.raises(DoseloError) as told:
        map_cases(
            partial(killed_at_3, folder=tmp_path),
            items,
            processes=2,
            description="Cases",
            name_of=lambda item: f"pt_{item}",
        )
    assert str(told.value) == f"case pt_3: {DIED}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2", "4", "5"]


def test_a_case_whose_process_was_killed_is_tried_again_when_it_is_alone(tmp_path: Path) -> None:
    work = partial(killed_in_company, folder=tmp_path)
    assert map_cases(work, [1, 2], processes=2, description="Cases") == [1, 2]


def test_an_error_that_cannot_be_sent_is_told_all_the_same() -> None:
    with pytest.raises(DoseloError, match=r"^case 1: TakesTwo: no grid$"):
        map_cases(raises_what_does_not_travel, [1], processes=2, description="Cases")


def test_after_an_error_no_other_case_is_begun() -> None:
    attempts = attempt_cases(fails_at_2, [1, 2, 3], processes=1, description="Cases", stop_at_error=True)
    assert [(attempt.case, attempt.reason) for attempt in attempts] == [("1", ""), ("2", "ValueError: no such organ")]


def test_a_process_that_cannot_start_is_no_fault_of_a_case() -> None:
    with Workers(slow_first, cannot_start) as workers, pytest.raises(DoseloError, match="ended with status 7"):
        list(workers.results([(0, 1), (1, 2)], 1))
