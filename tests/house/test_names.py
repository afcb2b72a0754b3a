"""Names and docstrings: what a newcomer reads first says what it is about."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest
from source_tree import CORE, MODULES, ROOT, parsed

VAGUE = {"found", "one", "own", "ours", "theirs"}
MOST_LINES = 300
ARRAY = re.compile(r"\b(ndarray|NDArray|Tensor)\b")
WITH_SHAPE = re.compile(r"\b(Float|Int|Integer|Bool|Shaped|Num)\[")
"""jaxtyping's: the shape stands in the annotation."""
WORDS = "batch|beams|bixels|cases|channels|columns|edits|nodes|pixels|points|rows|slices|voxels"
AXIS = rf"(?:\*?[A-Z]\w{{0,2}}'?|\.\.\.|\d+|[nmk]|(?:node )?(?:{WORDS}))"
SHAPE = re.compile(rf"\({AXIS},\)|\({AXIS}(?:[,*] ?{AXIS})+\)|\b(?:any|same|one) shape\b|\bshape of\b|\bscalar\b")

ROOMS: dict[str, list[str]] = defaultdict(list)
for module in MODULES:
    parts = module.removeprefix(f"{CORE}.").split(".")
    outer = 2 if parts[0] in ("dataset_conversion", "predictor_training") else 1
    ROOMS[".".join(parts[: min(outer, len(parts) - 1)]) or "root"].append(module)


def public_functions(module: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions of the module, and methods of its public classes."""
    tree = parsed(module)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    for prefix, body in [("", tree.body), *((f"{node.name}.", node.body) for node in classes)]:
        for node in body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield prefix + node.name, node


def arrays(function: ast.FunctionDef) -> list[str]:
    """Parameters that are arrays or tensors, but for those whose annotation says the shape."""
    given = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    notes = {argument.arg: ast.unparse(argument.annotation) for argument in given if argument.annotation}
    return [name for name, note in notes.items() if ARRAY.search(note) and not WITH_SHAPE.search(note)]


def names_given(module: str) -> Iterator[tuple[int, str]]:
    """Line and name of all parameters and variables of functions, those of loops and comprehensions too."""
    functions = (node for node in ast.walk(parsed(module)) if isinstance(node, ast.FunctionDef | ast.Lambda))
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dose_gy: (Z, Y, X), Gy.", True),
        ("(N, 3) in mm", True),
        ("(n,) doses", True),
        ("(B, 1, *S) float32", True),
        ("(beams, rows, columns)", True),
        ("a mask of any shape", True),
        ("spacing (z, y, x) in mm", False),
        ("dose (Gy) of a plan (paper, equation 1)", False),
    ],
)
def test_the_rule_knows_a_shape_when_it_sees_one(text: str, expected: bool) -> None:
    assert bool(SHAPE.search(text)) is expected


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_public_functions_of_arrays_state_a_shape(room: str) -> None:
    """In their own docstring, or in their annotation."""
    silent = [
        f"{module}: {name}({', '.join(arrays(function))})"
        for module in ROOMS[room]
        for name, function in public_functions(module)
        if arrays(function) and not SHAPE.search(ast.get_docstring(function) or "")
    ]
    assert silent == []


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_variables_are_called_what_they_are(room: str) -> None:
    vague = {
        f"{MODULES[module].relative_to(ROOT)}:{line}: {name}"
        for module in ROOMS[room]
        for line, name in names_given(module)
        if name in VAGUE
    }
    assert vague == set()


def definitions(kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> dict[str, list[str]]:
    """Which modules define a class, or a public function outside the command line, of that name."""
    modules: dict[str, list[str]] = defaultdict(list)
    for module in MODULES:
        is_command = kind is ast.FunctionDef and f"{module}.".startswith(f"{CORE}.cli.")
        for node in [] if is_command else parsed(module).body:
            if isinstance(node, kind) and not (kind is ast.FunctionDef and node.name.startswith("_")):
                modules[node.name].append(module)
    return modules


@pytest.mark.parametrize("kind", [ast.ClassDef, ast.FunctionDef])
def test_a_name_means_one_thing_in_the_whole_project(kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> None:
    """Commands share the name of the function that they call; a module that is a command has a `main`."""
    assert len(definitions(kind)) > 100
    doubled = {name: modules for name, modules in definitions(kind).items() if len(modules) > 1}
    assert doubled.keys() <= {"main"}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_files_are_short(room: str) -> None:
    lines = {module: len(MODULES[module].read_text().splitlines()) for module in ROOMS[room]}
    assert {module: number for module, number in lines.items() if number > MOST_LINES} == {}
