"""A run of a trainer: the fold that one of its networks was trained on, and the seed that it started from."""

import re
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class FoldSeed:
    """seed: None where every network starts from the same one. fold: None for contours of no training.

    >>> str(FoldSeed(0, 2)), FoldSeed(0, 2).folder_name, FoldSeed(0).folder_name, str(FoldSeed())
    ('fold 0, seed 2', 'fold_0_seed_2', 'fold_0', '')
    """

    fold: int | None = None
    seed: int | None = None

    def __str__(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in vars(self).items() if number is not None)

    @property
    def folder_name(self) -> str:
        return str(self).replace(", ", "_").replace(" ", "_")

    @property
    def trained_fold(self) -> int:
        """Of a training, which always has one."""
        assert self.fold is not None
        return self.fold

    @classmethod
    def parse(cls, text: str) -> "FoldSeed":
        """Of `str`, as files have it."""
        return cls(**{name: int(number) for name, number in re.findall(r"(fold|seed) (\d+)", text)})


def runs_in_words(runs: Collection[FoldSeed]) -> str:
    """
    >>> runs_in_words([FoldSeed(0, 1), FoldSeed(1, 1), FoldSeed(0, 2), FoldSeed(1, 2)])
    'folds 0, 1; seeds 1, 2'
    >>> runs_in_words([FoldSeed(3)]), runs_in_words([FoldSeed()])
    ('fold 3', '')
    """
    by_name = {name: {getattr(run, name) for run in runs} - {None} for name in ("fold", "seed")}
    return "; ".join(
        f"{name}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"
        for name, numbers in by_name.items()
        if numbers
    )
