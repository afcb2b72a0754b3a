"""Headers sorted into patients: series of images, structure sets, plans, doses and registrations of one person."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .headers import Header, Scan, Unreadable


@dataclass(frozen=True)
class Series:
    """Images of one series in one frame of reference. `frame` is "" where the files name none."""

    kind: str
    frame: str
    headers: tuple[Header, ...]

    @property
    def uid(self) -> str:
        return self.headers[0].series

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(header.path for header in self.headers)

    @property
    def instances(self) -> frozenset[str]:
        return frozenset(header.instance for header in self.headers)

    @property
    def description(self) -> str:
        return self.headers[0].description

    @property
    def date(self) -> str:
        return min(header.date for header in self.headers)


@dataclass(frozen=True)
class DicomPatient:
    """All that one person has in the folder. `key` identifies the person and must not leave the key table."""

    key: str
    series: tuple[Series, ...]
    objects: tuple[Header, ...]
    unreadable: tuple[Unreadable, ...] = ()

    def images(self, kind: str) -> list[Series]:
        return [series for series in self.series if series.kind == kind]

    def of_kind(self, kind: str) -> list[Header]:
        return [header for header in self.objects if header.kind == kind]

    @property
    def id(self) -> str:
        """PatientID, "" without one. As secret as the key."""
        headers = [*self.objects, *(header for series in self.series for header in series.headers)]
        return headers[0].patient_id

    @property
    def instances(self) -> frozenset[str]:
        """Of all that is here, localisers too: structure sets refer to them."""
        return frozenset(header.instance for header in self.objects).union(*(s.instances for s in self.series))

    @property
    def first_file(self) -> Path:
        return min([*(header.path for header in self.objects), *(path for s in self.series for path in s.files)])


def patients_of(scan: Scan) -> tuple[list[DicomPatient], list[Unreadable]]:
    """The patients in the order of their first files, and the unreadable files that can be nobody's in particular.

    A patient is a PatientID with its issuer (an object without issuer belongs to the one of its study, or to the only
    one that uses the id); objects without PatientID belong together by their study. A damaged file belongs to the
    patient whose id it still tells, else to the one who alone has files in its folder.
    """
    keys = _keys(scan.headers)
    grouped = _grouped(scan.headers, lambda header: keys[header.instance])
    owners = _owners(scan, keys)
    patients = [
        DicomPatient(
            key,
            tuple(_series(headers)),
            tuple(header for header in headers if header.kind not in ("CT", "MR")),
            tuple(file for file in scan.unreadable if owners[file.path] == key),
        )
        for key, headers in grouped.items()
    ]
    nobodys = [file for file in scan.unreadable if owners[file.path] is None]
    return sorted(patients, key=lambda patient: patient.first_file), nobodys


def _keys(headers: Iterable[Header]) -> dict[str, str]:
    """The patient's key of every object, by SOPInstanceUID."""
    issuers, in_study = defaultdict(set), defaultdict(set)
    for header in headers:
        if header.issuer:
            issuers[header.patient_id].add(header.issuer)
            in_study[header.patient_id, header.study].add(header.issuer)

    def key(header: Header) -> str:
        if not header.patient_id:
            return f"study {header.study}"
        known = in_study[header.patient_id, header.study] or issuers[header.patient_id]
        issuer = header.issuer or (next(iter(known)) if len(known) == 1 else "")
        return f"{header.patient_id} ({issuer})" if issuer else header.patient_id

    return {header.instance: key(header) for header in headers}


def _owners(scan: Scan, keys: dict[str, str]) -> dict[Path, str | None]:
    by_id, by_folder = defaultdict(set), defaultdict(set)
    for header in scan.headers:
        by_id[header.patient_id].add(keys[header.instance])
        by_folder[header.path.parent].add(keys[header.instance])

    def owner(file: Unreadable) -> str | None:
        candidates = (by_id[file.patient_id] if file.patient_id else None) or by_folder[file.path.parent]
        return next(iter(candidates)) if len(candidates) == 1 else None

    return {file.path: owner(file) for file in scan.unreadable}


def _series(headers: list[Header]) -> list[Series]:
    images = [header for header in headers if header.kind in ("CT", "MR")]
    grouped = _grouped(images, lambda header: (header.kind, header.series, *sorted(header.frames)))
    return [Series(key[0], (*key[2:], "")[0], tuple(of_series)) for key, of_series in grouped.items()]


def _grouped(headers: Iterable[Header], key: Callable) -> dict:
    groups = defaultdict(list)
    for header in headers:
        groups[key(header)].append(header)
    return groups
