"""Files that appear whole or not at all, and the one writer each for JSON, CSV and PNG.

NaN and infinities are null in JSON, because JSON has no such numbers.
"""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError

OWNER_ONLY_FILE = 0o600


@contextmanager
def all_or_nothing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Yield where to write instead of `path`; moved there at the end, or removed if the block fails.

    Missing folders are made. What stood at `path` before stays until the new file is complete. With a mode, an empty
    file with these permissions is there from the beginning.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    partial.unlink(missing_ok=True)
    try:
        if mode is not None:
            partial.touch(mode=mode)
        yield partial
        os.replace(partial, path)
    finally:
        # also after a rename: renaming one hard link onto another of the same file leaves both
        partial.unlink(missing_ok=True)


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Write files that appear whole or not at all: all are complete on disk before the first is moved into place."""
    partials = {_partial(path): path for path in contents}
    try:
        for partial, path in partials.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(contents[path])
        for partial, path in partials.items():
            os.replace(partial, path)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{os.getpid()}.{path.name}")


def write_json(path: Path, content: Any, *, indent: int = 2, mode: int | None = None) -> None:
    """All or nothing; content and indent as `json_bytes` takes them, mode as `all_or_nothing`."""
    data = json_bytes(content, indent=indent)
    with all_or_nothing(path, mode=mode) as partial:
        partial.write_bytes(data)


def json_bytes(content: Any, *, indent: int = 2) -> bytes:
    """A JSON file of whatever `json_values` takes; keys stay in their order."""
    return (json.dumps(json_values(content), indent=indent, allow_nan=False, ensure_ascii=False) + "\n").encode()


def json_values(value: Any) -> Any:
    """As it reads when it comes back from JSON: dataclasses and mappings become dicts with text as keys, sequences
    lists, paths text, and numbers that are not finite None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_values(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_values(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def nan_for_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that came back from JSON: None becomes NaN; whatever else there is stays as it is."""
    return {key: math.nan if value is None else value for key, value in values.items()}


def read_json(
    path: Path,
    written_by: str,
    *,
    file_format: str | None = None,
    kind: type[dict] | type[list] = dict,
    keys: Sequence[str] = (),
) -> Any:
    """The content of a file; one that was cut short or edited is an error, not a surprise later.

    file_format: what the file must say of itself under "format". keys: names that it must have.
    kind: dict or list.

    Raises
    ------
    DoseloError: no such file, not JSON (cut short, for example), of another kind or format, or a name is missing.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DoseloError(f"{path}: no such file ({error.strerror}); it is written by `{written_by}`") from error
    except ValueError as error:
        raise DoseloError(f"{path}: not valid JSON ({error}); remove it and run `{written_by}` again") from error
    if file_format and (not isinstance(content, dict) or content.get("format") != file_format):
        actual = content.get("format") if isinstance(content, dict) else None
        raise DoseloError(
            f"{path}: must have format {file_format}, found {actual}; remove it and run `{written_by}` again"
        )
    if not isinstance(content, kind):
        needed = "a list" if kind is list else "names and values"
        raise DoseloError(
            f"{path}: must hold {needed}, found {type(content).__name__}; remove it and run `{written_by}` again"
        )
    if missing := [key for key in keys if key not in content]:
        raise DoseloError(
            f"{path}: must have {', '.join(keys)}, missing {', '.join(missing)}; remove it and run `{written_by}` again"
        )
    return content


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A CSV file in UTF-8; lines end with a line feed alone. NaN reads nan. Bytes of names that
    were no UTF-8 when they were read ("surrogateescape") come out as they were."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")


def png_bytes(figure: Any, *, dpi: int) -> bytes:
    """A PNG file of matplotlib's figure."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    return png.getvalue()
