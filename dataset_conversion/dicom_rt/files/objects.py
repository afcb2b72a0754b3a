"""DICOM files read defensively: whatever is wrong with one ends in a `DoseloError` that names file and tag.

Messages never quote a value: names, dates and UIDs stay in the file. pydicom's own warnings do quote them, and are
silenced here; so all values are to be taken through `required`, `optional`, `numbers` and `integer`.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, MRImageStorage, RTDoseStorage

from nnunet_doselo.common.errors import DoseloError

PREAMBLE_BYTES = 128
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
"""Groups that a file without preamble begins with: file meta information, or the object itself (little endian)."""
NUMBER_AS_TEXT = ("DS", "IS")
WHOLE_NUMBERS = ("IS", "US", "UL", "SS", "SL")
PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
"""The tag, in both byte orders."""
OBJECTS_WITH_PIXELS = (CTImageStorage, MRImageStorage, RTDoseStorage)
WELL_KNOWN_ROOT = "1.2.840.10008."
"""Frames of reference that the standard names (PS3.6 A-2), atlases and devices: shared by images of all patients."""
TEXTS = ("UI", "CS", "LO", "SH", "DA", "TM", "DT", "LT", "ST", "UT")


def is_dicom(path: Path) -> bool:
    """True if the file's first bytes are those of DICOM, with or without preamble. False also for no plain file.

    Raises
    ------
    DoseloError: the file cannot be opened.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(PREAMBLE_BYTES + 4)
    except OSError as error:
        raise DoseloError(f"{path}: cannot be opened ({error.strerror})") from None
    return head[PREAMBLE_BYTES:] == b"DICM" or (head[:2] in FIRST_GROUPS and head[3:4] == b"\x00")


def read_dataset(path: Path, *, pixels: bool = False, only: Sequence[str] = (), cut: bool = False) -> Dataset:
    """One DICOM object, with or without preamble.

    Parameters
    ----------
    pixels: read on to the pixel data and what follows.
    only: keywords of the tags to read (fast, for scanning); all if empty.
    cut: take what is left of a file that is cut short.

    Raises
    ------
    DoseloError: the file does not exist, is no DICOM object (no SOPClassUID), is cut short or cannot be parsed.
    """
    if not is_dicom(path):
        raise DoseloError(f"{path}: {'is no DICOM file' if path.is_file() else 'does not exist'}")
    tags = [*_tags(tuple(only))] if only else None
    with _quiet() as heard:
        try:
            with path.open("rb") as file:
                dataset = pydicom.dcmread(file, force=True, stop_before_pixels=not pixels, specific_tags=tags)
                follows = file.read(len(PIXEL_DATA[0]))
            is_cut = _is_cut_short(dataset) or any(f" in file {path}" in str(warning.message) for warning in heard)
            lacks_pixels = not pixels and _lacks_pixels(dataset, follows)  # decodes a value, so not before
        except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same
            raise _damaged(path, error) from None
    if is_cut and not cut:
        raise DoseloError(f"{path}: is cut short; copy or export it again")
    if lacks_pixels and not cut:
        raise DoseloError(f"{path}: holds no pixel data, or is cut short; copy or export it again")
    required(dataset, "SOPClassUID", path)
    return dataset


def required(dataset: Dataset, keyword: str, path: Path) -> Any:
    """The value of a mandatory tag: text, number, list, or for a sequence its items (at least one).

    Raises
    ------
    DoseloError: the tag is absent, empty, undecodable or of another kind than the standard's.
    """
    value = optional(dataset, keyword, path)
    if value is None:
        raise DoseloError(f"{path}: the tag {keyword} is missing or empty; export the object again")
    return value


def optional(dataset: Dataset, keyword: str, path: Path, default: Any = None) -> Any:
    """The value of a tag; `default` if it is absent or empty.

    Raises
    ------
    DoseloError: the tag is undecodable or of another kind than the standard's.
    """
    if keyword not in dataset:
        return default
    with _quiet():
        try:
            value = dataset[keyword].value
        except Exception as error:  # as in read_dataset: values are decoded when they are asked for
            raise _damaged(path, error, keyword) from None
    if value is None or (hasattr(value, "__len__") and len(value) == 0):
        return default
    if not _fits(dictionary_VR(keyword), value):
        raise DoseloError(
            f"{path}: the tag {keyword} must be of type {dictionary_VR(keyword)}; export the object again"
        )
    if isinstance(value, MultiValue) and isinstance(value[0], str) and dictionary_VM(keyword) == "1":
        return "\\".join(value)  # a name with a backslash, which separates values
    return value


def numbers(dataset: Dataset, keyword: str, path: Path, count: int | None = None) -> np.ndarray:
    """The numbers of a mandatory tag, (N,) float64; `count` is the N that must be found.

    Decimal strings (contours have a hundred thousand) are parsed from the bytes, ten times faster than pydicom's.

    Raises
    ------
    DoseloError: the tag is absent or empty, is not all finite numbers, or their count is another.
    """
    values = _decimals(dataset, keyword, path)
    if not np.isfinite(values).all():
        raise DoseloError(f"{path}: the tag {keyword} must hold finite numbers, found one that is not")
    if count is not None and len(values) != count:
        raise DoseloError(f"{path}: the tag {keyword} must hold {count} numbers, found {len(values)}")
    return values


def integer(dataset: Dataset, keyword: str, path: Path, *, at_least: int = 0) -> int:
    """The whole number of a mandatory tag.

    Raises
    ------
    DoseloError: the tag is absent, not one whole number, or lower than `at_least`.
    """
    value = float(numbers(dataset, keyword, path, 1)[0])
    if value != int(value) or value < at_least:
        raise DoseloError(f"{path}: the tag {keyword} must be a whole number of at least {at_least}, found {value:g}")
    return int(value)


@cache
def _tags(keywords: tuple[str, ...]) -> tuple[BaseTag, ...]:
    """Looking up thirty keywords takes longer than reading a header."""
    return tuple(Tag(keyword) for keyword in (*keywords, "SOPClassUID"))


def _decimals(dataset: Dataset, keyword: str, path: Path) -> np.ndarray:
    is_text = dictionary_VR(keyword) in NUMBER_AS_TEXT
    try:
        element = dataset.get_item(keyword) if keyword in dataset else None
        raw = element.value if isinstance(element, RawDataElement) and is_text else None
        if isinstance(raw, bytes) and raw.strip(b" \0"):
            return np.array([float(number) for number in raw.strip(b" \0").split(b"\\")])
        return np.atleast_1d(np.asarray(required(dataset, keyword, path), float))
    except (ValueError, TypeError, NotImplementedError):
        raise DoseloError(f"{path}: the tag {keyword} must hold numbers, found something else") from None


def _fits(kind: str, value: Any) -> bool:
    """Whether a decoded value is what its tag should hold: a damaged file may say any type (its VR)."""
    if kind == "SQ":
        return isinstance(value, pydicom.Sequence)
    first = value[0] if isinstance(value, MultiValue) else value
    if kind in WHOLE_NUMBERS:
        return isinstance(first, Real)
    return kind not in TEXTS or isinstance(first, str)


def _lacks_pixels(dataset: Dataset, follows: bytes) -> bool:
    """The header of an image ends where something else than its pixels follows: the end of the file."""
    with_pixels = dataset.get("SOPClassUID") in OBJECTS_WITH_PIXELS
    compressed_whole = dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    return with_pixels and not compressed_whole and follows not in PIXEL_DATA


def _is_cut_short(dataset: Dataset) -> bool:
    """The last element has fewer bytes than it says: pydicom reads on without a word."""
    if not len(dataset):
        return False
    last = dataset.get_item(max(dataset.keys()))
    return (
        isinstance(last, RawDataElement) and isinstance(last.value, bytes) and len(last.value) < last.length < 2**32 - 1
    )


def _damaged(path: Path, error: Exception, keyword: str = "") -> DoseloError:
    """Only the kind of pydicom's error: its text may quote what is in the file."""
    where = f"the tag {keyword}" if keyword else "it"
    return DoseloError(f"{path}: is damaged, {where} cannot be read ({type(error).__name__}); export it again")


@contextmanager
def _quiet() -> Iterator[list[warnings.WarningMessage]]:
    """pydicom neither warns nor checks formalities; what it would have said is in the list."""
    with warnings.catch_warnings(record=True) as heard, pydicom.config.disable_value_validation():
        warnings.simplefilter("always")
        yield heard
