"""How long `doselo convert openkbp` takes, and its largest process: all patients of a folder, default spacing.

python benchmarks/convert_openkbp.py work/openkbp/csv --processes 2
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import typer

KILOBYTES_PER_GB = 1e6


def main(source: Path, processes: int = 2, spacing: float = 3.0) -> None:
    """Convert into a temporary folder and print seconds, patients and peak memory of one process."""
    patients = len(list(source.glob("*-pats/pt_*")))
    program = str(Path(sys.executable).parent / "doselo")
    with tempfile.TemporaryDirectory() as raw:
        arguments = ["convert", "openkbp", str(source), "999", "--spacing", str(spacing), "-np", str(processes)]
        start = time.monotonic()
        subprocess.run([program, *arguments], env={**os.environ, "nnUNet_raw": raw}, check=True)
        seconds = time.monotonic() - start
    result = {
        "command": f"doselo {' '.join(arguments)}",
        "patients": patients,
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        "seconds": round(seconds, 1),
        "peak_gb_of_largest_process": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / KILOBYTES_PER_GB,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    typer.run(main)
