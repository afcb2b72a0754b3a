"""Which file was it, which settings? SHA-256, as reports, checkpoints and predictor cards quote it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError

CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 lower-case hex digits; what `sha256sum` prints.

    Raises
    ------
    DoseloError: the file is missing, a folder, or unreadable.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise DoseloError(f"{path}: cannot be read for its SHA-256 ({error.strerror})") from error
    return digest.hexdigest()


def sha256_of_json(content: Any) -> str:
    """SHA-256 of what JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
