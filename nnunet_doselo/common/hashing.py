"""Which file was it? SHA-256 of files, as reports, checkpoints and predictor cards quote it."""

import hashlib
from pathlib import Path

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
