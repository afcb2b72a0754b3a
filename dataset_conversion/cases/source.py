"""What a conversion needs to know of a kind of files: who is there, and how one patient is read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..names.structure_names import NameMap
from .assemble import PatientImages
from .ids import Split


@dataclass(frozen=True)
class SourcePatient:
    """One patient of a source, found and not yet read.

    key: tells patients apart; nothing but the key table keeps it. names: what a list of test patients may call the
        patient. shown_name: what the listing may call the patient, "" for nothing.
    folder: where the first file lies, relative to the source. files: what `Source.read` needs.
    lines: the patient's files and why they were chosen, for the listing. problems: why there cannot be a case.
    split: as the source says, None if it does not.
    ct_series, frame: SeriesInstanceUID and FrameOfReferenceUID of the planning CT, "" where there are none.
    """

    key: str
    names: frozenset[str]
    folder: str
    files: Any
    lines: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    has_dose: bool = False
    split: Split | None = None
    shown_name: str = ""
    ct_series: str = ""
    frame: str = ""


@dataclass(frozen=True)
class SourceCohort:
    """All patients of a source with a case, the broken ones included, in a fixed order.

    names_without_case: of patients who are there, and from whose files no case can be made.
    unmapped: of each structure set, names that the name map does not know, with the nearest that it knows.
    remarks: what else the listing says, one line each.
    is_readable: False if a damaged file is of nobody in particular.
    """

    patients: tuple[SourcePatient, ...]
    names_without_case: frozenset[str] = frozenset()
    unmapped: tuple[Mapping[str, str | None], ...] = ()
    remarks: tuple[str, ...] = ()
    is_readable: bool = True


@dataclass(frozen=True)
class Source(ABC):
    """A folder of patients in one kind of files; small and picklable, because patients are read in processes."""

    folder: Path
    name_map: NameMap

    converter: ClassVar[str]
    """What conversion.json calls it."""

    @property
    @abstractmethod
    def channels(self) -> list[str]:
        """The network's inputs, in the dataset's order."""

    @property
    @abstractmethod
    def draws_alignment(self) -> bool:
        """True if images are put onto the CT by more than their coordinates: pictures show how well."""

    @abstractmethod
    def find(self, processes: int) -> SourceCohort:
        """Look through the folder.

        Raises
        ------
        DoseloError: no folder, or nobody in it.
        """

    @abstractmethod
    def read(self, files: Any) -> PatientImages:
        """Read the files of one `SourcePatient`, in the space of the planning CT.

        Raises
        ------
        DoseloError: a file cannot be used; a mandatory structure is missing.
        """

    def relative(self, text: object) -> str:
        """A path or a message without the way to the folder."""
        return str(text).replace(f"{self.folder}/", "")
