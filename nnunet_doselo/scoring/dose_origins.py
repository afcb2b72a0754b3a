"""Where the doses of several sets of contours come from: each origin gives a `DoseSource` for every set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.evaluation.result_files import NOISE_FLOOR, PLANS, REFERENCE
from nnunet_doselo.planning.cohort_plans import plan_cohort
from nnunet_doselo.scoring.dose_sources import DoseSource, PlannedDoses

REFERENCE_DOSES = "reference_doses"


@dataclass(frozen=True)
class ContourSet:
    """A folder of label maps, one a case, and what it is called."""

    name: str
    folder: Path


class DoseOrigin(Protocol):
    """Prepared once, then asked for one set after the other, just before it is evaluated."""

    def prepare(self, cases: Sequence[str]) -> None:
        """Whatever all sets need: a planner plans the reference contours here."""

    def source(self, contours: ContourSet, cases: Sequence[str]) -> DoseSource:
        """A planner plans the contours here."""

    def noise_floor(self, cases: Sequence[str]) -> DoseSource | None:
        """Of the reference contours, planned a second time; None where that cannot be had."""


@dataclass(frozen=True)
class OneSource:
    """The same for all sets: a dose predictor."""

    doses: DoseSource

    def prepare(self, cases: Sequence[str]) -> None:
        pass

    def source(self, contours: ContourSet, cases: Sequence[str]) -> DoseSource:
        return self.doses

    def noise_floor(self, cases: Sequence[str]) -> None:
        return None


@dataclass(frozen=True)
class FolderOrigin:
    """Doses that lie on disk, a folder for each set by its name; reference_doses as in `PlannedDoses`."""

    dataset: ExtendedDataset
    folders: Mapping[str, Path]
    reference_doses: Path | None
    split: str

    def prepare(self, cases: Sequence[str]) -> None:
        pass

    def source(self, contours: ContourSet, cases: Sequence[str]) -> DoseSource:
        return PlannedDoses(self.dataset, self.folders[contours.name], self.reference_doses, self.split)

    def noise_floor(self, cases: Sequence[str]) -> None:
        return None


@dataclass(frozen=True)
class PlannerOrigin:
    """Plans into OUTPUT/reference, OUTPUT/NAME/plans and OUTPUT/noise_floor/plans, unless what is there is current.

    Every contour is planned like the reference: with its isocentre, beams and bixels.

    reference: plans of the reference contours that `doselo plan` made before; None plans them.
    """

    dataset: ExtendedDataset
    output: Path
    engine: str
    split: str
    processes: int
    reference: Path | None = None

    @property
    def _references(self) -> Path:
        return self.reference or self.output / REFERENCE

    def prepare(self, cases: Sequence[str]) -> None:
        if self.reference is None:
            self._plan(None, self._references, cases)

    def source(self, contours: ContourSet, cases: Sequence[str]) -> DoseSource:
        return self._planned(contours.folder, self.output / contours.name / PLANS, cases)

    def noise_floor(self, cases: Sequence[str]) -> DoseSource:
        return self._planned(None, self.output / NOISE_FLOOR / PLANS, cases)

    def _planned(self, labels: Path | None, plans: Path, cases: Sequence[str]) -> DoseSource:
        self._plan(labels, plans, cases, like=self._references)
        return PlannedDoses(self.dataset, plans, self._references, self.split)

    def _plan(self, labels: Path | None, output: Path, cases: Sequence[str], like: Path | None = None) -> None:
        plan_cohort(
            self.dataset,
            output,
            labels=labels,
            like=like,
            engine=self.engine,
            split=self.split,
            cases=cases,
            processes=self.processes,
        )
