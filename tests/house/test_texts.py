"""Texts speak of the repository alone: every document and every path of a module that one names is there."""

import re
from pathlib import Path

from source_tree import FOLDERS, ROOT

PLACES = [ROOT / folder for folder in (".", *FOLDERS, "tests", "benchmarks", "docs")]
TEXTS = [
    ROOT / "pyproject.toml",
    *ROOT.glob("*.md"),
    *(path for place in PLACES[1:] for kind in ("*.py", "*.md") for path in place.rglob(kind)),
]
NAMED = re.compile(r"(?<![\w/.}-])((?:[\w.-]+/)*[\w-]+\.md|(?:[\w.-]+/)+[\w-]+\.py)\b")
OF_NO_FILE = re.compile(r"\bDESIGN\b")


def strangers(text: Path) -> list[str]:
    """What a text names that is neither beside it nor below the root or one of its folders."""
    written = text.read_text()
    missing = [name for name in NAMED.findall(written) if not any((p / name).exists() for p in (text.parent, *PLACES))]
    return missing + OF_NO_FILE.findall(written)


def test_what_a_text_names_is_in_the_repository() -> None:
    assert len(TEXTS) > 100
    named = {str(text.relative_to(ROOT)): strangers(text) for text in TEXTS if text != Path(__file__)}
    assert {text: names for text, names in named.items() if names} == {}


def test_a_stranger_is_noticed(tmp_path: Path) -> None:
    text = tmp_path / "text.md"
    text.write_text("See CONTRIBUTING.md, nnunet_doselo/doctor.py, DESIGN, ../notes/plan.md and dataset/absent.py.")
    assert strangers(text) == ["../notes/plan.md", "dataset/absent.py", "DESIGN"]
