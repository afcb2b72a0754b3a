"""`run_patients` with functions that another process can import from here."""

import os

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import DIED
from nnunet_doselo.dataset_conversion.cases.run import Outcome, any_failed, print_summary, run_patients


def work(item: int) -> list[str]:
    """1 cannot be used, 2 is not foreseen, 3 kills its process, all others do well."""
    if item == 1:
        raise DoseloError("two lines\nof [reason]")
    if item == 2:
        raise ValueError("SECRET^NAME was born on 19500101")
    if item == 3:
        os._exit(1)
    return [f"note {item}"] if item == 5 else []


def run(items: list[int], processes: int) -> list[Outcome]:
    return run_patients(
        work, items, processes=processes, description="Converting", name_of=lambda item: f"GBM_{item:03d}"
    )


@pytest.mark.parametrize("processes", [1, 2])
def test_failures_stop_nobody_else(processes: int, capsys: pytest.CaptureFixture[str]) -> None:
    good, refused, broken, noted = run([0, 1, 2, 5], processes)
    assert good == Outcome("GBM_000", "converted")
    assert refused == Outcome("GBM_001", "failed", "two lines of [reason]")
    assert noted == Outcome("GBM_005", "converted", notes=("note 5",))
    assert broken.message.startswith("ValueError in test_cohort_run.py, line ")
    said = capsys.readouterr().err
    assert "GBM_001: two lines of [reason]" in said
    assert "SECRET" not in said + broken.message


def test_a_process_that_dies_is_one_failed_patient() -> None:
    outcomes = run([0, 3, 4, 5], 2)
    assert [outcome.status for outcome in outcomes] == ["converted", "failed", "converted", "converted"]
    assert outcomes[1].message == DIED


def test_nobody_to_do_is_fine() -> None:
    assert run([], 2) == []


def test_the_summary_tells_everyone_and_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [
        Outcome("GBM_001", "converted", notes=("Eye_L [gone]",)),
        Outcome("GBM_002", "there already"),
        Outcome("GBM_003", "failed", "no [GTV]"),
    ]
    print_summary(outcomes)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split() for line in lines] == [
        ["case", "status"],
        ["GBM_001", "converted", "Eye_L", "[gone]"],
        ["GBM_002", "there", "already"],
        ["GBM_003", "failed", "no", "[GTV]"],
        ["1", "converted,", "1", "there", "already,", "1", "failed"],
    ]
    assert any_failed(outcomes)
    assert not any_failed(outcomes[:2])
