"""What is display_of while jobs run."""

from io import StringIO

import pytest
from finished_trainings import InlinePools
from rich.console import Console
from toy_jobs import add

from nnunet_doselo.benchmark.jobs import Job, JobRecord
from nnunet_doselo.benchmark.progress import Bars, Lines, Tallies, Tally, display_of, time_in_words

JOBS = [
    *(Job(f"training-{n}", "training", add, heavy=True) for n in "abc"),
    *(Job(f"plan-{n}", "plan", add) for n in range(4)),
]


def record(job: Job, seconds: float = 0.0, error: str = "") -> JobRecord:
    return JobRecord(job.name, job.kind, "", "failed" if error else "done", seconds, error=error)


def told(display_class: type, *, terminal: bool) -> str:
    """A training that took two minutes, a plan that was there, one that failed, and a training that runs."""
    console = Console(file=StringIO(), force_terminal=terminal, width=120)
    tallies = Tallies(JOBS, InlinePools())
    with display_of(tallies, console) as display:
        assert isinstance(display, display_class)
        for observer in (tallies, display):
            observer.begun(JOBS[0])
            observer.ended(JOBS[0], record(JOBS[0], 120.0), new=True)
            observer.ended(JOBS[3], record(JOBS[3]), new=False)
            observer.ended(JOBS[4], record(JOBS[4], error="no fluence [at all]\nmore"), new=True)
            observer.begun(JOBS[1])
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_lines_where_nobody_looks() -> None:
    lines = told(Lines, terminal=False).splitlines()
    assert [line[9:] for line in lines] == [
        "training-a: begun",
        "training-a: done in 2:00 min, training 1 of 3, about 4:00 min left",
        "plan-1: FAILED: no fluence [at all]",
        "training-b: begun",
    ]


def test_bars_on_a_terminal() -> None:
    text = told(Bars, terminal=True)
    assert "1/3" in text
    assert "b; about 4:00 min left" in text
    assert "2/4" in text
    assert "1 failed" in text
    assert "no fluence [at all]" in text


def test_time_left_goes_by_what_was_done_and_how_many_run_at_a_time() -> None:
    tally = Tally(total=5, heavy=False)
    assert tally.seconds_left(2) is None
    tally.ended, tally.seconds = 2, [10.0, 30.0]
    assert tally.seconds_left(2) == pytest.approx(30)
    tally.ended = 5
    assert tally.seconds_left(2) == 0


def test_a_clock_has_minutes_or_hours() -> None:
    assert [time_in_words(seconds) for seconds in (0.9, 125, 3599, 3600, 9000)] == [
        *("0:00 min", "2:05 min", "59:59 min", "1:00 h", "2:30 h")
    ]
