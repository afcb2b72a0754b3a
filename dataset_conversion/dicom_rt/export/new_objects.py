"""DICOM objects that are written: every value is checked against the standard before it is in one."""

import warnings
from pathlib import Path
from typing import Any

import pydicom
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR

from nnunet_doselo.common.errors import DoseloError


def new(**elements: Any) -> Dataset:
    """An object of those elements, see `put`."""
    item = Dataset()
    put(item, **elements)
    return item


def put(item: Dataset, **elements: Any) -> None:
    """Add elements by keyword, sequences as lists; raises ValueError for a value that breaks the standard."""
    for keyword, value in elements.items():
        kind = dictionary_VR(keyword)
        content = pydicom.Sequence(value) if kind == "SQ" else value
        item.add(DataElement(keyword, kind, content, validation_mode=pydicom.config.RAISE))


def require_text(what: str, text: str, longest: int) -> None:
    """Raises DoseloError for a text that DICOM's short and long strings (SH, LO) cannot hold."""
    if not 0 < len(text) <= longest or not text.isprintable() or "\\" in text or text != text.strip():
        raise DoseloError(
            f"a {what} must have 1 to {longest} printable characters, without a backslash and without spaces around "
            f"it, for DICOM to hold it; found {text!r}"
        )


def save(item: Dataset, file: Path) -> None:
    """Write the object.

    Raises
    ------
    DoseloError: the patient's name cannot be written in the CT's character set.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom would write a question mark, and quote the name
        try:
            item.save_as(file, enforce_file_format=True)
        except (ValueError, LookupError, UserWarning):
            raise DoseloError(
                "the CT's texts (its patient's name, for instance) do not fit its SpecificCharacterSet; correct it"
            ) from None
