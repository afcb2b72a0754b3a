"""Files that appear whole or not at all: whoever writes one writes a hidden neighbour first."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def all_or_nothing(path: Path) -> Iterator[Path]:
    """Yield where to write instead of `path`; moved there at the end, or removed if the block fails.

    Missing folders are made. What stood at `path` before stays until the new file is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    partial.unlink(missing_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        # also after a rename: renaming one hard link onto another of the same file leaves both
        partial.unlink(missing_ok=True)
