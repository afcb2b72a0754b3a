"""YAML files that users write: read without surprises, wrong keys told."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from nnunet_doselo.common.errors import DoseloError


class _StrictLoader(yaml.SafeLoader):
    """YAML lets the last of two equal keys win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file.

    Raises
    ------
    DoseloError: the file cannot be read, is not YAML, holds a key twice, or no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise DoseloError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error
    except yaml.YAMLError as error:
        raise DoseloError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise DoseloError(f"{path}: must hold keys and values, found {type(content).__name__}")
    return content


def mapping(content: Any, where: str, allowed: Collection[str] | None = None) -> Mapping[str, Any]:
    """`content` as a mapping with text keys; nothing at all counts as empty.

    Raises
    ------
    DoseloError: not a mapping; a key that is not allowed.
    """
    if content is None:
        return {}
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise DoseloError(f"{where}: must hold named entries, found {content!r}")
    unknown = [key for key in content if allowed is not None and key not in allowed]
    if allowed is not None and unknown:
        raise DoseloError(f"{where}: unknown {', '.join(unknown)}; there are {', '.join(sorted(allowed))}")
    return content


def texts(content: Any, where: str) -> tuple[str, ...]:
    """A list of texts; nothing counts as empty.

    Raises
    ------
    DoseloError: not a list, or something else in it (YAML reads `no` and 1 without quotes as other things than text).
    """
    if content is None:
        return ()
    if not isinstance(content, list) or not all(isinstance(item, str) and item.strip() for item in content):
        raise DoseloError(f"{where}: must be a list of texts (in quotes where needed), found {content!r}")
    return tuple(content)
