"""Which case is which patient: ids without any meaning, and the one table that knows.

The table is as secret as the patients' files: it lies outside the dataset, readable by its owner alone.
"""

import csv
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import OWNER_ONLY_FILE, all_or_nothing, csv_bytes

Scheme = Literal["counter", "hash"]
Split = Literal["Tr", "Ts"]
OWNER_ONLY_FOLDER = 0o700
HASH_DIGITS = 10
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
"""Names of folders need not be UTF-8."""
PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass
class KeyRow:
    """One patient. source: folder relative to the converter's SOURCE. split: "" until decided.

    ct_series, frame: SeriesInstanceUID and FrameOfReferenceUID of the planning CT; empty for NIfTI.
    """

    case: str
    patient_id: str
    source: str = ""
    ct_series: str = ""
    frame: str = ""
    split: str = ""


class CaseIds:
    """Ids of one dataset, kept from run to run: a patient who was there before keeps the id.

    Nothing is written before `save`, so that a dry run can ask for ids.

    key_file: CSV with the columns of `KeyRow`; the hash scheme keeps its salt beside it, with the ending .salt.
    prefix: ids are PREFIX_001, ... or PREFIX_<10 hex digits of a salted SHA-256>.

    Raises
    ------
    DoseloError: the prefix is no name; the table is not one of ours.
    """

    def __init__(self, key_file: Path, prefix: str, scheme: Scheme = "counter") -> None:
        if not PREFIX.fullmatch(prefix):
            raise DoseloError(f"case ids start with a letter, then letters, digits and underscores, found {prefix!r}")
        self.key_file = key_file
        self.prefix = prefix
        self.scheme = scheme
        self.rows = {row.patient_id: row for row in read_key_table(key_file)} if key_file.exists() else {}
        self._salt = self._read_salt()

    def id_of(self, patient_key: str, *, source: str = "", ct_series: str = "", frame: str = "") -> str:
        """The patient's case id. `patient_key` tells patients apart (PatientID, or a folder's name); what else is
        given goes into the table, in place of what an earlier run knew."""
        row = self.rows.get(patient_key) or KeyRow(self._new_id(patient_key), patient_key)
        self.rows[patient_key] = row
        row.source, row.ct_series, row.frame = source or row.source, ct_series or row.ct_series, frame or row.frame
        return row.case

    def splits(self, test_fraction: float) -> dict[str, Split]:
        """Split by case id. Who has a split keeps it; of the others so many are for testing that they make the fraction
        of all, chosen by a hash of the id.

        Raises
        ------
        DoseloError: the fraction is not in [0, 1).
        """
        if not 0 <= test_fraction < 1:
            raise DoseloError(f"the fraction of test patients must be from 0 to below 1, found {test_fraction}")
        wanted = round(test_fraction * len(self.rows)) - sum(row.split == "Ts" for row in self.rows.values())
        new = sorted((row for row in self.rows.values() if not row.split), key=lambda row: _sha256(row.case))
        for position, row in enumerate(new):
            row.split = "Ts" if position < wanted else "Tr"
        return {row.case: "Ts" if row.split == "Ts" else "Tr" for row in self.rows.values()}

    def set_splits(self, split_of: dict[str, Split]) -> None:
        """Record splits that the source decides, by case id."""
        for row in self.rows.values():
            row.split = split_of.get(row.case, row.split)

    def save(self) -> None:
        """Write the table, mode 600, all or nothing."""
        _owner_only_folder(self.key_file.parent)
        if self.scheme == "hash":
            _write_secret(self._salt_file, self._salt.hex() + "\n")
        rows = sorted(self.rows.values(), key=lambda row: row.case)
        cells = ([*asdict(row).values()] for row in rows)
        with all_or_nothing(self.key_file, mode=OWNER_ONLY_FILE) as partial:
            partial.write_bytes(csv_bytes(_columns(), cells))

    @property
    def _salt_file(self) -> Path:
        return self.key_file.with_suffix(".salt")

    def _read_salt(self) -> bytes:
        if self.scheme == "counter" or not self._salt_file.exists():
            return secrets.token_bytes(32)
        try:
            return bytes.fromhex(self._salt_file.read_text())
        except ValueError:
            raise DoseloError(f"{self._salt_file}: must hold the salt of the case ids, found something else") from None

    def _new_id(self, patient_key: str) -> str:
        taken = {row.case for row in self.rows.values()}
        if self.scheme == "hash":
            digest = hmac.new(self._salt, patient_key.encode(**TEXT), hashlib.sha256).hexdigest()
            return _first_free((f"{self.prefix}_{digest[:n]}" for n in range(HASH_DIGITS, len(digest) + 1)), taken)
        return _first_free((f"{self.prefix}_{n:03d}" for n in range(len(taken) + 1, 2 * len(taken) + 2)), taken)


def read_key_table(key_file: Path) -> list[KeyRow]:
    """The rows of a table that `CaseIds.save` wrote.

    Raises
    ------
    DoseloError: no such file, or other columns.
    """
    try:
        with key_file.open(newline="", **TEXT) as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except OSError as error:
        raise DoseloError(f"{key_file}: the key table cannot be read ({error.strerror})") from error
    if header != _columns() or any(len(row) != len(header) for row in rows):
        raise DoseloError(f"{key_file}: a key table has the columns {', '.join(_columns())}, found others")
    return [KeyRow(*row) for row in rows]


def key_file_for(dataset_folder: Path, key_file: Path | None = None) -> Path:
    """Where the table of a dataset lies: as given, or doselo_keys/DATASET.csv beside nnUNet_raw.

    Raises
    ------
    DoseloError: inside the dataset, where it would be passed on with it.
    """
    if key_file is None:
        return dataset_folder.parent.resolve().parent / "doselo_keys" / f"{dataset_folder.name}.csv"
    if key_file.resolve().is_relative_to(dataset_folder.resolve()):
        raise DoseloError(f"{key_file}: the key table must lie outside the dataset, choose another place")
    return key_file


def _columns() -> list[str]:
    return [column.name for column in fields(KeyRow)]


def _first_free(candidates: Iterable[str], taken: set[str]) -> str:
    return next(case for case in candidates if case not in taken)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _owner_only_folder(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True, mode=OWNER_ONLY_FOLDER)


def _write_secret(file: Path, text: str) -> None:
    with all_or_nothing(file, mode=OWNER_ONLY_FILE) as partial:
        partial.write_text(text)
