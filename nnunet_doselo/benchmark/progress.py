"""What runs now, what is done, and how long the rest may take: bars on a terminal, lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from .jobs import FAILED, Job, JobRecord
from .pools import Pools

NAMES_SHOWN = 2
"""Names of running jobs that stand beside a bar."""


@dataclass
class Tally:
    """Of one kind of job. `seconds`: of those that this run has done."""

    total: int
    heavy: bool
    ended: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    running: list[str] = field(default_factory=list)

    def seconds_left(self, width: int) -> float | None:
        """If all others take as long as those so far, `width` at a time; None as long as none is done."""
        if not self.seconds or self.ended == self.total:
            return 0.0 if self.ended == self.total else None
        return (self.total - self.ended) * sum(self.seconds) / len(self.seconds) / width


class Tallies:
    """An `engine.Observer` that counts; `Bars` and `Lines` show it."""

    def __init__(self, jobs: Sequence[Job], pools: Pools) -> None:
        self.pools = pools
        self.kinds: dict[str, Tally] = {}
        for job in jobs:
            tally = self.kinds.setdefault(job.kind, Tally(0, job.heavy))
            tally.total += 1

    def begun(self, job: Job) -> None:
        self.kinds[job.kind].running.append(job.name)

    def ended(self, job: Job, record: JobRecord, *, new: bool) -> None:
        tally = self.kinds[job.kind]
        if job.name in tally.running:
            tally.running.remove(job.name)
        tally.ended += 1
        tally.failed += record.status == FAILED
        if new:
            tally.seconds.append(record.seconds)

    def left(self, kind: str) -> str:
        """In words, empty while nothing is known."""
        tally = self.kinds[kind]
        # an engine with a queue of its own does as many at a time as were seen at a time
        width = self.pools.width(heavy=tally.heavy) or max(1, len(tally.running))
        seconds = tally.seconds_left(width)
        return f"about {time_in_words(seconds)} left" if seconds and seconds >= 1 else ""


class Lines:
    """One line whenever a job that takes time has ended; plans are summed up."""

    def __init__(self, tallies: Tallies, console: Console, every_s: float = 60.0) -> None:
        self.tallies, self.console, self.every_s = tallies, console, every_s
        self.last = 0.0

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def begun(self, job: Job) -> None:
        if job.heavy:
            self._say(f"{job.name}: begun")

    def ended(self, job: Job, record: JobRecord, *, new: bool) -> None:
        if record.status == FAILED:
            self._say(f"{job.name}: FAILED: {record.error.splitlines()[0]}")
        elif new and (job.heavy or time.monotonic() - self.last > self.every_s):
            tally = self.tallies.kinds[job.kind]
            left = self.tallies.left(job.kind)
            count = f"{job.kind} {tally.ended} of {tally.total}"
            self._say(", ".join(filter(None, [f"{job.name}: done in {time_in_words(record.seconds)}", count, left])))

    def _say(self, text: str) -> None:
        self.last = time.monotonic()
        self.console.print(f"{time.strftime('%H:%M:%S')} {escape(text)}", highlight=False)


class Bars:
    """A bar for every kind of job."""

    def __init__(self, tallies: Tallies, console: Console) -> None:
        self.tallies = tallies
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"),
            console=console,
        )
        self.bars: Mapping[str, TaskID] = {
            kind: self.progress.add_task(kind, total=tally.total, now="") for kind, tally in tallies.kinds.items()
        }

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def begun(self, job: Job) -> None:
        self._show(job.kind)

    def ended(self, job: Job, record: JobRecord, *, new: bool) -> None:
        if record.status == FAILED:
            reason = escape(record.error.splitlines()[0])
            self.progress.console.print(f"[red]failed[/] {escape(job.name)}: {reason}", highlight=False)
        self._show(job.kind)

    def _show(self, kind: str) -> None:
        tally = self.tallies.kinds[kind]
        names = ", ".join(name.removeprefix(f"{kind}-") for name in tally.running[:NAMES_SHOWN])
        more = f" and {len(tally.running) - NAMES_SHOWN} more" if len(tally.running) > NAMES_SHOWN else ""
        failures = f"{tally.failed} failed" if tally.failed else ""
        now = "; ".join(filter(None, [names + more, failures, self.tallies.left(kind)]))
        self.progress.update(self.bars[kind], completed=tally.ended, now=escape(now))


def display_of(tallies: Tallies, console: Console) -> Bars | Lines:
    return Bars(tallies, console) if console.is_terminal else Lines(tallies, console)


def time_in_words(seconds: float) -> str:
    """Hours and minutes, below an hour minutes and seconds: 125 -> "2:05 min"."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
