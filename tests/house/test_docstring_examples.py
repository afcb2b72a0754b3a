"""The examples of all docstrings and of docs/api.md give what they say.

They are run in a folder that holds a synthetic patient's CT.nii.gz and OARS.nii.gz, and a small dose_predictor.ts.
"""

import doctest
import importlib
import io
from pathlib import Path
from typing import Any

import phantoms
import pytest
from predictors import card_of
from source_tree import MODULES, ROOT, docstrings

from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.predictor.artifact import save_predictor

EXAMPLES = [(module, name, text) for module in MODULES for name, text in docstrings(module) if ">>>" in text]


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, network = tmp_path_factory.mktemp("patient"), phantoms.trained_predictor()
    write_array(folder / "CT.nii.gz", phantoms.head_ct(), phantoms.grid_for())
    write_array(folder / "OARS.nii.gz", phantoms.organ_labels(), phantoms.grid_for())
    save_predictor(network, card_of(network), folder / "dose_predictor.ts")
    return folder


def run(text: str, name: str, names: dict[str, Any]) -> int:
    """How many examples the text has; fails with doctest's own report on the first that gives something else."""
    report = io.StringIO()
    example = doctest.DocTestParser().get_doctest(text, names, name, name, 0)
    done = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(example, out=report.write)
    assert not done.failed, report.getvalue()
    return done.attempted


@pytest.mark.parametrize(("module", "name", "text"), EXAMPLES, ids=lambda value: value if " " not in value else "")
def test_an_example_in_a_docstring_gives_what_it_says(
    module: str, name: str, text: str, patient: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(patient)
    assert run(text, f"{module}.{name}", dict(vars(importlib.import_module(module))))


def test_every_line_that_looks_like_an_example_is_run() -> None:
    """In a comment or in a string that is no docstring it would not be."""
    assert sum(text.count(">>>") for _, _, text in EXAMPLES) == sum(
        path.read_text().count(">>>") for path in MODULES.values()
    )


def test_the_documentation_of_the_interface_gives_what_it_says(patient: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(patient)
    assert run((ROOT / "docs" / "api.md").read_text(), "docs/api.md", {})
