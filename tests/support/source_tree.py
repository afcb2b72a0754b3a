"""The project's modules as files and by name, for the tests that read the source."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = "nnunet_doselo"
CONVERSION, TRAINING = f"{CORE}.dataset_conversion", f"{CORE}.predictor_training"
FOLDERS = {"nnunet_doselo": CORE, "dataset_conversion": CONVERSION, "predictor_training": TRAINING}
"""Folders of the repository, and the packages that they are installed as."""
MODULES = {
    ".".join([package, *path.relative_to(ROOT / folder).with_suffix("").parts]).removesuffix(".__init__"): path
    for folder, package in FOLDERS.items()
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def below(package: str) -> list[str]:
    """A package's modules; a rule about a package that has none would hold whatever is written."""
    modules = [name for name in MODULES if f"{name}.".startswith(f"{package}.")]
    assert modules, f"no module is named {package}: the rule about it looks at nothing"
    return modules


@functools.cache
def parsed(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def docstrings(module: str) -> Iterator[tuple[str, str]]:
    """Name and docstring of the module, its classes and its functions, private and nested ones too."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield getattr(node, "name", "module"), text
