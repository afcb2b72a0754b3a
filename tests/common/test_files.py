"""Files that appear whole, and the writers of JSON, CSV and PNG."""

import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import (
    OWNER_ONLY_FILE,
    all_or_nothing,
    csv_bytes,
    json_values,
    nan_for_none,
    png_bytes,
    read_json,
    replace_files,
    write_json,
)


@dataclass(frozen=True)
class Figures:
    mean_gy: float
    cases: tuple[str, ...]


def test_json_has_no_nan_and_keeps_the_order(tmp_path: Path) -> None:
    file = tmp_path / "new" / "figures.json"
    write_json(file, {"z": Figures(math.nan, ("é",)), 1: tmp_path, "a": [math.inf, 0.5]})
    assert file.read_text() == (
        '{\n  "z": {\n    "mean_gy": null,\n    "cases": [\n      "é"\n    ]\n  },\n'
        f'  "1": "{tmp_path}",\n  "a": [\n    null,\n    0.5\n  ]\n}}\n'
    )
    assert [*file.parent.iterdir()] == [file]


def test_values_are_as_they_read_when_they_come_back(tmp_path: Path) -> None:
    content = {"figures": Figures(2.0, ("a", "b")), "folds": {0: (1, 2)}}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json", "doselo plan") == json_values(content)
    assert math.isnan(nan_for_none({"mean_gy": None, "cases": 3})["mean_gy"])


def test_what_json_cannot_hold_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        write_json(file, {"a": {1, 2}})
    assert json.loads(file.read_text()) == {"a": 1}


def test_a_secret_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {}, mode=OWNER_ONLY_FILE)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file (No such file or directory); it is written by `doselo plan`"),
        ('{"format": "doses/1", "dose', "not valid JSON (Unterminated string"),
        ("", "not valid JSON (Expecting value"),
        ('{"format": "doses/2", "dose": 1}', "must have format doses/1, found doses/2"),
        ("[1]", "must have format doses/1, found None"),
        ('{"format": "doses/1"}', "must have dose, missing dose; remove it and run `doselo plan` again"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DoseloError) as told:
        read_json(file, "doselo plan", file_format="doses/1", keys=["dose"])
    assert str(told.value).startswith(f"{file}: ")
    assert message in str(told.value)


@pytest.mark.parametrize(("text", "kind", "needed"), [("[1]", dict, "names and values"), ("{}", list, "a list")])
def test_content_of_another_kind_is_told(text: str, kind: type, needed: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DoseloError, match=f"must hold {needed}, found"):
        read_json(tmp_path / "x.json", "doselo plan", kind=kind)


def test_a_table_has_one_line_a_row() -> None:
    rows = [("Brain, left", math.nan), ("caf\udce9", 0.1)]
    assert csv_bytes(["name", "dose_gy"], rows) == b'name,dose_gy\n"Brain, left",nan\ncaf\xe9,0.1\n'


def test_a_figure_becomes_a_png_of_that_resolution() -> None:
    png = png_bytes(Figure(figsize=(2, 1)), dpi=50)
    assert png.startswith(b"\x89PNG")
    assert [int.from_bytes(png[at : at + 4], "big") for at in (16, 20)] == [100, 50]


def test_several_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder is needed")
    with pytest.raises(OSError, match="blocked"):
        replace_files({tmp_path / "first": b"new", tmp_path / "blocked" / "second": b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["blocked"]


def test_a_block_that_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    with pytest.raises(UnicodeEncodeError), all_or_nothing(tmp_path / "x") as partial:
        partial.write_text("é", encoding="ascii")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x", "old")]
