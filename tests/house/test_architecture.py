"""Who may import whom (CONTRIBUTING.md), read from the source: also imports inside functions count.

Every rule asks first whether it finds what it is about: one that is about nothing fails.
"""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter

import pytest
from source_tree import CONVERSION, CORE, FOLDERS, MODULES, ROOT, TRAINING, below, parsed

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
LOOSE = {
    "nnunet_doselo": {"__init__.py", "_search_guard.py", "doctor.py", "py.typed"},
    "dataset_conversion": {"__init__.py", "channels.py", "openkbp.py", "verify.py"},
    "predictor_training": {"__init__.py"},
}
# each room of the core, in the order in which data flow, and the rooms that it may import
ROOMS: dict[str, set[str]] = {
    "common": set(),
    "dataset": {"common"},
    "planning": {"common", "dataset"},
    "predictor": {"common", "dataset"},
    "losses": {"common", "dataset", "predictor"},
    "context": {"common", "dataset"},
    "trainer": {"common", "dataset", "predictor", "losses", "context"},
    "nnunet_ext": {"trainer"},
    "evaluation": {"common", "dataset"},
    "scoring": {"common", "dataset", "planning", "predictor", "evaluation"},
    "report": {"common", "dataset", "evaluation"},
    "benchmark": {"common", "dataset", "planning", "predictor", "evaluation", "scoring", "trainer"},
    "demo": {"common"},
}
CONVERSION_ROOMS: dict[str, set[str]] = {
    "names": set(),
    "grids": set(),
    "registration": set(),
    "cases": {"names", "grids"},
    "nifti": {"names", "grids", "registration", "cases"},
    "dicom_rt": {"names", "grids", "registration", "cases"},
    "variants": {"cases"},
    "phantom": {"cases", "variants"},
}
OF_CONVERSION, OF_TRAINING = (
    ROOMS.keys() & {"common", "dataset", "planning"},
    {
        "common",
        "dataset",
        "planning",
        "predictor",
        "evaluation",
        "scoring",
    },
)


@functools.cache
def imports(module: str, *, relative: bool = True) -> frozenset[str]:
    """Full names of what a module imports: `from a.b import c` gives a.b and a.b.c."""
    return frozenset(_imports(module, relative))


def _imports(module: str, relative: bool) -> Iterator[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (relative or not node.level):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def reachable(module: str) -> set[str]:
    """All that a module imports, also by way of other modules of ours."""
    seen: set[str] = set()
    to_do = [module]
    while to_do:
        new = imports(to_do.pop()) - seen
        seen |= new
        to_do += [name for name in new if name in MODULES]
    return seen


def named(names: Iterable[str], *packages: str) -> set[str]:
    return {name for name in names if any(f"{name}.".startswith(f"{package}.") for package in packages)}


def room_of(module: str, rooms: Iterable[str], package: str) -> str | None:
    return next((room for room in rooms if f"{module}.".startswith(f"{package}.{room}.")), None)


def rooms_imported(modules: Iterable[str], rooms: Iterable[str], package: str) -> set[str]:
    found = (room_of(name, rooms, package) for module in modules for name in imports(module))
    return {room for room in found if room}


def outside(module: str) -> set[str]:
    """The packages of others that a module imports itself."""
    return {name.partition(".")[0] for name in imports(module)} - {*sys.stdlib_module_names, CORE, ""}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_roots_hold_no_loose_module(folder: str) -> None:
    assert {path.name for path in (ROOT / folder).iterdir() if path.is_file()} == LOOSE[folder]


def test_every_room_of_the_core_is_in_the_table() -> None:
    folders = {path.name for path in (ROOT / CORE).iterdir() if (path / "__init__.py").exists()}
    assert folders == {*ROOMS, "cli"}
    assert {path.name for path in (ROOT / "dataset_conversion").iterdir() if (path / "__init__.py").exists()} == {
        *CONVERSION_ROOMS
    }


TABLE = {
    tuple(folder.split("/")): {*re.findall(r"`(\w+)`", may_import)}
    for folder, may_import in re.findall(r"^\| `([\w/]+)/` \|[^|]*\|([^|]*)\|$", CONTRIBUTING, re.MULTILINE)
}
"""Rooms of the table in CONTRIBUTING.md, and the rooms that each names."""


def test_the_table_in_contributing_names_every_room_and_no_other() -> None:
    folders = {
        (folder, path.name)
        for folder in FOLDERS
        for path in (ROOT / folder).iterdir()
        if (path / "__init__.py").exists()
    }
    assert {*TABLE} == folders


@pytest.mark.parametrize("room", ROOMS)
def test_the_table_in_contributing_says_what_a_room_may_import(room: str) -> None:
    assert TABLE[CORE, room] == ROOMS[room]


@pytest.mark.parametrize("room", CONVERSION_ROOMS)
def test_the_table_in_contributing_says_what_a_room_of_conversion_may_import(room: str) -> None:
    """Beside the core's rooms, which stand in the first of these rows."""
    assert TABLE["dataset_conversion", room] - OF_CONVERSION == CONVERSION_ROOMS[room]


def test_the_table_in_contributing_says_what_conversion_and_training_stand_on() -> None:
    assert TABLE["dataset_conversion", "names"] == OF_CONVERSION
    assert TABLE["predictor_training", "data"] == OF_TRAINING


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_its_row_allows(room: str) -> None:
    assert rooms_imported(below(f"{CORE}.{room}"), [*ROOMS, "cli"], CORE) <= ROOMS[room] | {room}


@pytest.mark.parametrize("room", CONVERSION_ROOMS)
def test_a_room_of_conversion_imports_what_its_row_allows(room: str) -> None:
    arrows = rooms_imported(below(f"{CONVERSION}.{room}"), CONVERSION_ROOMS, CONVERSION)
    assert arrows <= CONVERSION_ROOMS[room] | {room}


@pytest.mark.parametrize(("package", "allowed"), [(CONVERSION, OF_CONVERSION), (TRAINING, OF_TRAINING)])
def test_conversion_and_training_import_the_rooms_they_stand_on(package: str, allowed: set[str]) -> None:
    assert rooms_imported(below(package), [*ROOMS, "cli"], CORE) <= allowed


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {name: {other for other in imports(name) if other in MODULES and other != name} for name in MODULES}
    # a package's own name stands for nothing but its docstring
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert len(graph) > len(packages) > len(ROOMS)
    list(TopologicalSorter({name: others - packages for name, others in graph.items()}).static_order())


@pytest.mark.parametrize("module", below(f"{CORE}.common"))
def test_common_needs_numpy_and_rich_alone(module: str) -> None:
    assert outside(module) <= {"numpy", "rich"}


@pytest.mark.parametrize("module", [*below(f"{CORE}.evaluation"), *below(f"{CORE}.report")])
def test_evaluation_and_report_need_neither_torch_nor_nnunet(module: str) -> None:
    assert not named(reachable(module), "torch", "nnunetv2", "batchgeneratorsv2", "lightning")


@pytest.mark.parametrize("module", sorted({*below(f"{CORE}.planning")} - {f"{CORE}.planning.pydosert"}))
def test_planning_needs_numpy_and_scipy_alone(module: str) -> None:
    """The independent engine brings torch; it is loaded when it is asked for."""
    assert outside(module) <= {"numpy", "scipy"}


@pytest.mark.parametrize(
    "module",
    [
        *(name for room in ("predictor", "losses", "scoring") for name in below(f"{CORE}.{room}")),
        *below(f"{TRAINING}.sensitivity"),
    ],
)
def test_predictor_losses_scoring_and_sensitivity_do_not_need_nnunet(module: str) -> None:
    assert not named(reachable(module), "nnunetv2", "batchgeneratorsv2")


@pytest.mark.parametrize("module", below(TRAINING))
def test_training_a_predictor_does_not_need_nnunets_trainer(module: str) -> None:
    assert not named(reachable(module), "nnunetv2.training")


@pytest.mark.parametrize("module", sorted({*MODULES} - {*below(CONVERSION), *below(TRAINING), *below(f"{CORE}.cli")}))
def test_the_core_imports_neither_conversion_nor_training(module: str) -> None:
    assert not named(imports(module), CONVERSION, TRAINING, "dataset_conversion", "predictor_training")


@pytest.mark.parametrize(("own", "other"), [(CONVERSION, TRAINING), (TRAINING, CONVERSION)])
def test_conversion_and_training_keep_apart_and_import_siblings_relatively(own: str, other: str) -> None:
    for module in below(own):
        assert not named(imports(module), other), module
        assert not named(imports(module, relative=False), own, "dataset_conversion", "predictor_training"), module


def test_only_the_trainer_subclasses_nnunets_trainer() -> None:
    """In one place: the guided trainers build on it, and on them the paper's pair and the speed trainers."""
    bases = {
        (name, ast.unparse(base).rpartition(".")[2])
        for name in MODULES
        for node in ast.walk(parsed(name))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    ground, variants = f"{CORE}.trainer.domain", {f"{CORE}.trainer.{kind}" for kind in ("guided", "paper", "speed")}
    assert {name for name, base in bases if base == "nnUNetTrainer"} == {ground}
    assert {name for name, base in bases if base.startswith("nnUNetTrainer")} == {ground, *variants}


def test_only_one_file_knows_dask() -> None:
    assert {name for name in MODULES if named(imports(name), "distributed", "dask")} == {f"{CORE}.benchmark.cluster"}


def test_only_one_file_turns_simpleitks_axes() -> None:
    """All others take arrays, images, points and grids from `dataset.images` and `dataset.geometry`."""
    turning = ("GetArrayFromImage", "GetArrayViewFromImage", "GetImageFromArray")
    using = {name for name, path in MODULES.items() if any(word in path.read_text() for word in turning)}
    assert using == {f"{CORE}.dataset.images"}


def test_only_one_file_multiplies_a_voxels_volume_out() -> None:
    multiplied = re.compile(r"prod\(\S*spacing", re.IGNORECASE)
    using = {name for name, path in MODULES.items() if multiplied.search(path.read_text())}
    assert using == {f"{CORE}.dataset.geometry"}


def loaded_by(module: str, *packages: str) -> str:
    """Which of the packages are loaded once the module is, or whatever else it said."""
    code = f"import sys, {module}; print(*sorted({{*{packages}}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() + done.stderr.strip()


@pytest.mark.parametrize("module", [CORE, f"{CORE}.cli", f"{CORE}.doctor", f"{CORE}.demo.main"])
def test_importing_prints_nothing_and_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(module, "torch", "nnunetv2", "SimpleITK", "scipy", "numpy") == ""


@pytest.mark.parametrize("module", [f"{CORE}.planning.plan", f"{CORE}.scoring.contour_folder"])
def test_planning_does_not_load_torch(module: str) -> None:
    assert loaded_by(module, "torch", "pydosert", "nnunetv2") == ""


def imported_within(module: str, function: str = "") -> set[str]:
    """Modules of ours that a module names, or one of its functions alone: imports inside functions count."""
    tree = ast.parse(MODULES[module].read_text())
    wanted = [node for node in tree.body if getattr(node, "name", "") == function] if function else [tree]
    nodes = [node for part in wanted for node in ast.walk(part) if isinstance(node, ast.ImportFrom) and not node.level]
    names = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names} | {str(n.module) for n in nodes}
    return names & {*MODULES}


@pytest.mark.parametrize(("commands", "function"), [("evaluation", ""), ("predictor", ""), ("training", "sensitivity")])
def test_what_asks_a_predictor_does_not_load_nnunet(commands: str, function: str) -> None:
    """To compare a card with a dataset is to compare two dicts."""
    modules = imported_within(f"{CORE}.cli.{commands}", function) | imported_within(f"{CORE}.cli.shared")
    assert f"{CORE}.predictor.artifact" in modules
    assert loaded_by(", ".join(sorted(modules)), "nnunetv2") == ""
