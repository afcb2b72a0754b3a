"""`import nnunet_doselo`: a few names, loaded when they are asked for, each with an example."""

import ast
import inspect
import subprocess
import sys

import pytest
from source_tree import CORE, ROOT, parsed

import nnunet_doselo

WITHOUT_EXAMPLE = {"DoseloError"}
"""An exception: its examples are the "Raises" of all others."""
SECONDS = 0.1


def test_names_modules_and_types_are_the_same() -> None:
    typed = {
        alias.name: node.module
        for node in ast.walk(parsed(CORE))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{CORE}.")
        for alias in node.names
    }
    assert typed == {name: f"{CORE}.{module}" for name, module in nnunet_doselo._MODULES.items()}
    assert sorted(nnunet_doselo.__all__) == sorted(typed)


@pytest.mark.parametrize("name", nnunet_doselo.__all__)
def test_a_public_name_comes_from_its_room_with_a_docstring(name: str) -> None:
    thing = getattr(nnunet_doselo, name)
    assert name in dir(nnunet_doselo)
    assert thing.__module__ == f"{CORE}.{nnunet_doselo._MODULES[name]}"
    assert name in WITHOUT_EXAMPLE or ">>> " in inspect.getdoc(thing)


def test_star_import_brings_the_public_names_alone() -> None:
    names: dict[str, object] = {}
    exec(f"from {CORE} import *", names)
    assert {*names} - {"__builtins__"} == {*nnunet_doselo.__all__}


def test_another_name_is_an_error_that_says_where_to_look() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'plan'; its public names are in __all__"):
        _ = nnunet_doselo.plan


@pytest.mark.parametrize("name", nnunet_doselo.__all__)
def test_the_documentation_names_every_public_name(name: str) -> None:
    assert f"| `{name}" in (ROOT / "docs" / "api.md").read_text()


def test_the_import_takes_less_than_a_tenth_of_a_second() -> None:
    """The best of three, the interpreter's own start not counted: others may be at work on the machine."""
    code = f"import time; start = time.perf_counter(); import {CORE}; print(time.perf_counter() - start)"
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < SECONDS
