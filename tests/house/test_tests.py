"""Every test asserts something, itself or by way of a helper that does, or says in its name that nothing is raised."""

import ast
from pathlib import Path

import pytest
from source_tree import ROOT

TESTS = ROOT / "tests"
FILES = sorted(TESTS.rglob("*.py"))
SILENT = ("does_not_raise", "is_no_error", "is_silent")
"""What the name of a test says that only has to go through."""
ASSERTING = ("raises", "warns", "fail")

Function = ast.FunctionDef


def functions(file: Path) -> dict[str, Function]:
    return {node.name: node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, Function)}


FUNCTIONS = {file: functions(file) for file in FILES}
SHARED = {name: node for file in FILES if file.parent != TESTS / "house" for name, node in FUNCTIONS[file].items()}


def callees(file: Path) -> dict[str, Function]:
    """What a name stands for in a file: its own functions, and those of the tests' helper modules that it imports."""
    imports = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    return {name: node for name, node in SHARED.items() if name in names} | FUNCTIONS[file]


def asserts(function: Function, known: dict[str, Function]) -> bool:
    """Whether a function has an assertion, or calls or hands on one of the `known` ones that has."""
    others = {name: node for name, node in known.items() if name != function.name}
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        name = getattr(node, "attr", getattr(node, "id", ""))
        if name in ASSERTING or name.startswith("assert_"):
            return True
        if isinstance(node, ast.Name) and name in others and asserts(others[name], others):
            return True
    return False


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def test_a():\n    run()", False),
        ("def test_b():\n    assert run()", True),
        ("def test_c():\n    with pytest.raises(ValueError):\n        run()", True),
        ("def test_d():\n    subprocess.run()\n\ndef run():\n    assert True", False),
        ("def test_e():\n    run()\n\ndef run():\n    np.testing.assert_allclose(1, 1)", True),
    ],
)
def test_the_rule_knows_an_assertion_when_it_sees_one(source: str, expected: bool) -> None:
    known = {node.name: node for node in ast.parse(source).body if isinstance(node, Function)}
    assert asserts(next(iter(known.values())), known) is expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TESTS)))
def test_every_test_asserts_or_says_that_it_does_not(file: Path) -> None:
    known = callees(file)
    silent = [name for name, node in FUNCTIONS[file].items() if name.startswith("test_") and not asserts(node, known)]
    assert [name for name in silent if not any(words in name for words in SILENT)] == []
