"""Shape of the code base: loose files, modules, lines, imports between rooms, functions, and what starting costs.

    python benchmarks/house.py [CHECKOUT]

prints JSON. CHECKOUT (default: this one) needs its own .venv for the times. A room is a folder, or a loose module.
"""

import ast
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FOLDERS = {
    "nnunet_doselo": "nnunet_doselo",
    "dataset_conversion": "nnunet_doselo.dataset_conversion",
    "predictor_training": "nnunet_doselo.predictor_training",
}
REPEATS = 5
LONG = 50


def modules_of(checkout: Path) -> dict[str, Path]:
    return {
        ".".join([package, *file.relative_to(checkout / folder).with_suffix("").parts]).removesuffix(".__init__"): file
        for folder, package in FOLDERS.items()
        for file in (checkout / folder).rglob("*.py")
    }


def room_of(module: str) -> str:
    parts = module.split(".")[1:] or ["root"]
    return ".".join(parts[:2] if parts[0] == "dataset_conversion" else parts[:1])


def imports(module: str, file: Path) -> Iterator[str]:
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def function_lines(files: Iterator[Path]) -> list[tuple[int, str]]:
    """Lines of each function without its docstring, shortest first."""
    functions = [
        (node, file)
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    return sorted((_lines(node), f"{file.stem}.{node.name}") for node, file in functions)


def _lines(node: ast.FunctionDef) -> int:
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def seconds(*command: str | Path) -> float:
    """The fastest of some runs."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return round(min(times), 3)


def main(checkout: Path) -> None:
    modules = modules_of(checkout)
    between = {
        (module, name)
        for module, file in modules.items()
        for name in imports(module, file)
        if name in modules and name not in FOLDERS.values() and room_of(module) != room_of(name)
    }
    functions = function_lines(iter(modules.values()))
    programs = checkout.resolve() / ".venv" / "bin"
    figures = {
        "loose modules": {folder: len([*(checkout / folder).glob("*.py")]) for folder in FOLDERS},
        "modules": len(modules),
        "lines": sum(len(file.read_text().splitlines()) for file in modules.values()),
        "rooms": len({room_of(module) for module in modules}),
        "arrows between rooms": len({(room_of(module), room_of(name)) for module, name in between}),
        "imports between rooms": len(between),
        "functions": len(functions),
        "median function": statistics.median(lines for lines, _ in functions),
        "longest function": functions[-1],
        f"functions over {LONG} lines": sum(lines > LONG for lines, _ in functions),
        "import nnunet_doselo, s": seconds(programs / "python", "-c", "import nnunet_doselo"),
        "doselo --help, s": seconds(programs / "doselo", "--help"),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]))
