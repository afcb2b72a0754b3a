"""Who may import whom (CONTRIBUTING.md), read from the source: also imports inside functions count."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONVERSION, TRAINING = "nnunet_doselo.dataset_conversion", "nnunet_doselo.predictor_training"
CLI = "nnunet_doselo.cli"
FOLDERS = {"nnunet_doselo": "nnunet_doselo", "dataset_conversion": CONVERSION, "predictor_training": TRAINING}
MODULES = {
    ".".join([package, *path.relative_to(ROOT / folder).with_suffix("").parts]).removesuffix(".__init__"): path
    for folder, package in FOLDERS.items()
    for path in (ROOT / folder).rglob("*.py")
}
FOUNDATION = [
    f"nnunet_doselo.{n}"
    for n in (
        "geometry",
        "structures",
        "guidance",
        "errors",
        "dataset_folder",
        "settings",
        "trainer_folder",
        "case_names",
    )
]


def imports(module: str, *, relative: bool = True) -> Iterator[str]:
    """Full names of what a module imports: `from a.b import c` gives a.b and a.b.c."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
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
        new = set(imports(to_do.pop())) - seen
        seen |= new
        to_do += [name for name in new if name in MODULES]
    return seen


def below(package: str) -> list[str]:
    return [name for name in MODULES if f"{name}.".startswith(f"{package}.")]


def named(names: Iterator[str] | set[str], *packages: str) -> set[str]:
    return {name for name in names if any(f"{name}.".startswith(f"{package}.") for package in packages)}


@pytest.mark.parametrize("module", [name for name in FOUNDATION if name in MODULES])
def test_the_foundation_needs_numpy_and_the_standard_library_alone(module: str) -> None:
    outside = {name for name in imports(module) if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy"}}
    assert outside - named(outside, *FOUNDATION) <= {"nnunet_doselo"}


@pytest.mark.parametrize("module", [*below("nnunet_doselo.evaluation"), *below("nnunet_doselo.report")])
def test_evaluation_and_report_need_neither_torch_nor_nnunet(module: str) -> None:
    assert not named(reachable(module), "torch", "nnunetv2", "batchgeneratorsv2", "lightning")


@pytest.mark.parametrize("module", sorted({*below("nnunet_doselo.planning")} - {"nnunet_doselo.planning.pydosert"}))
def test_planning_needs_numpy_and_scipy_alone(module: str) -> None:
    """The independent engine brings torch; it is loaded when it is asked for."""
    outside = {name.partition(".")[0] for name in imports(module)} - {*sys.stdlib_module_names, "numpy", "scipy"}
    assert outside <= {"nnunet_doselo"}


@pytest.mark.parametrize("module", [*below("nnunet_doselo.predictor"), *below("nnunet_doselo.losses")])
def test_predictor_and_losses_do_not_need_nnunet(module: str) -> None:
    assert not named(reachable(module), "nnunetv2", "batchgeneratorsv2")


@pytest.mark.parametrize(
    "module", sorted({*MODULES} - {*below(CONVERSION), *below(TRAINING), *below("nnunet_doselo.cli")})
)
def test_the_core_imports_neither_conversion_nor_training(module: str) -> None:
    assert not named(imports(module), CONVERSION, TRAINING, "dataset_conversion", "predictor_training")


@pytest.mark.parametrize(("own", "other"), [(CONVERSION, TRAINING), (TRAINING, CONVERSION)])
def test_conversion_and_training_keep_apart_and_import_siblings_relatively(own: str, other: str) -> None:
    for module in below(own):
        assert not named(imports(module), other), module
        assert not named(imports(module, relative=False), own, "dataset_conversion", "predictor_training"), module


def test_only_the_trainer_subclasses_nnunets_trainer() -> None:
    """The paper's pair and the benchmark build on it, with another training around it or nnU-Net's own protocol."""
    bases = {
        (name, ast.unparse(base).rpartition(".")[2])
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    assert {name for name, base in bases if base == "nnUNetTrainer"} == {"nnunet_doselo.trainer"}
    variants = {f"nnunet_doselo.{kind}_trainers" for kind in ("paper", "benchmark")}
    assert {name for name, base in bases if base.startswith("nnUNetTrainer")} == {"nnunet_doselo.trainer", *variants}


@pytest.mark.parametrize(
    "module", ["nnunet_doselo", "nnunet_doselo.cli", "nnunet_doselo.doctor", "nnunet_doselo.demo.stages"]
)
def test_importing_prints_nothing_and_loads_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'nnunetv2', 'SimpleITK', 'scipy'}"
    code = f"import sys, {module}; sys.exit(', '.join({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr.strip()) == ("", "")


def test_only_the_benchmark_knows_dask() -> None:
    assert {name for name in MODULES if named(imports(name), "distributed", "dask")} == {
        "nnunet_doselo.benchmark.cluster"
    }


def test_planning_does_not_load_torch() -> None:
    code = "import sys, nnunet_doselo.planning.plan; sys.exit(', '.join({'torch', 'pydosert'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
