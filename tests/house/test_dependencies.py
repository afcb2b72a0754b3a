"""pyproject.toml declares what the packages import, and nothing that they do not use."""

import ast
import functools
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_tree import CORE, MODULES, ROOT, parsed

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")

WITHOUT_IMPORT = {
    "nilearn": "the phantom's brain lies in its wheel; no code of it runs",
    "tensorboard": "Lightning writes for it where it is installed",
}
OF_EXTRAS = {"cluster": {"distributed"}, "tps": {"pydosert"}, "tensorboard": {"tensorboard"}}


def _imported_by(node: ast.AST) -> set[str]:
    """Names of packages that an import statement names; none for relative imports, and for all that is no import."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {(node.module or "").partition(".")[0]} if isinstance(node, ast.ImportFrom) and not node.level else set()


def imported() -> dict[str, set[str]]:
    """Names of packages of others, and which modules import them, wherever in the module."""
    modules: dict[str, set[str]] = {}
    for module in MODULES:
        for name in set().union(*map(_imported_by, ast.walk(parsed(module)))) - {*sys.stdlib_module_names, CORE}:
            modules.setdefault(name, set()).add(module)
    return modules


def declared() -> dict[str, set[str]]:
    """Distributions by extra; those that everybody gets under ""."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: {canonicalize_name(Requirement(line).name) for line in lines} for extra, lines in groups.items()}


@functools.cache
def installed() -> Mapping[str, list[str]]:
    return packages_distributions()


def distribution_of(name: str) -> str:
    """PIL comes with pillow; a package that is not installed here is called as it is imported."""
    return canonicalize_name(installed().get(name, [name])[0])


IMPORTED = imported()


@pytest.mark.parametrize("name", IMPORTED)
def test_what_is_imported_is_declared(name: str) -> None:
    """An extra's package may be imported by the modules that the extra is for alone, and not while they are loaded."""
    groups, distribution = declared(), distribution_of(name)
    extras = [extra for extra, packages in OF_EXTRAS.items() if distribution in packages]
    assert distribution in groups[extras[0] if extras else ""], f"imported by {sorted(IMPORTED[name])}"


@pytest.mark.parametrize("distribution", sorted(set().union(*(declared()[extra] for extra in ("", *OF_EXTRAS)))))
def test_what_is_declared_is_imported(distribution: str) -> None:
    assert distribution in {*map(distribution_of, IMPORTED), *WITHOUT_IMPORT}


def test_extras_are_known_and_their_packages_are_for_developers_too() -> None:
    """The tests of an extra would be skipped without."""
    groups = declared()
    assert {extra: groups[extra] for extra in groups if extra not in ("", "dev")} == OF_EXTRAS
    assert set().union(*OF_EXTRAS.values()) <= groups["dev"]
    assert not groups[""] & groups["dev"]


def test_a_package_of_an_extra_is_imported_by_no_module_as_it_is_loaded() -> None:
    """Without the extra the module must still load: such imports stand in functions, or under TYPE_CHECKING."""
    packages = set().union(*OF_EXTRAS.values())
    at_the_top = {
        (module, name)
        for module in MODULES
        for node in parsed(module).body
        for name in _imported_by(node)
        if name in packages
    }
    assert at_the_top == set()
