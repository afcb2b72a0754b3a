"""Numbers on their way into JSON and back: NaN is null there."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError


def plain(value: Any) -> Any:
    """Dataclasses and mappings become dicts, sequences lists, paths text, and numbers that are not finite None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """None becomes NaN; whatever else there is stays as it is."""
    return {key: math.nan if value is None else value for key, value in values.items()}


def to_bytes(content: Any) -> bytes:
    """The file's content; keys stay in their order."""
    return (json.dumps(plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_json(path: Path, file_format: str, written_by: str) -> dict[str, Any]:
    """The content of a file that says of itself which format it has.

    Raises
    ------
    DoseloError: no such file, not JSON, or another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DoseloError(f"{path}: no such file ({error.strerror}); it is written by `{written_by}`") from error
    except ValueError as error:
        raise DoseloError(f"{path}: not valid JSON ({error}); run `{written_by}` again") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != file_format:
        raise DoseloError(f"{path}: must have format {file_format}, found {found}; run `{written_by}` again")
    return content
