"""What one plan takes: seconds and peak memory of a process that does nothing else, on one core or on two.

python benchmarks/planner_cost.py synthetic
python benchmarks/planner_cost.py openkbp --path ../shared/data/openkbp_csv/train-pats/pt_1
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import typer
from planner_cases import SPACING_MM, load

from nnunet_doselo.planning.plan import plan_dose

KILOBYTES_PER_GB = 1e6
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(case: str, path: Path | None = None, cores: int = 1) -> None:
    """Plan one case (synthetic, head_ct or openkbp) by the built-in engine and print JSON.

    Peak memory is that of the whole process, reading included; the digest is that of the dose.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    loaded = load(case, path)
    start, start_cpu = time.monotonic(), time.process_time()
    planned = plan_dose(loaded.ct_hu, loaded.target_gy, loaded.oars, SPACING_MM)
    result = {
        "seconds": time.monotonic() - start,
        "cpu_seconds": time.process_time() - start_cpu,
        "peak_gb": _peak_gb(),
        "iterations": planned.iterations,
        "dose_sha256": hashlib.sha256(planned.dose_gy.tobytes()).hexdigest(),
    }
    print(json.dumps(result))


def _peak_gb() -> float:
    """Linux only. `getrusage` will not do: it starts from the memory of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) / KILOBYTES_PER_GB


def measure(case: str, path: Path | None, cores: int) -> dict[str, Any]:
    """Run this file in a fresh process that is bound to a number of cores; Linux only."""
    arguments = [sys.executable, __file__, case, "--cores", str(cores), *(["--path", str(path)] if path else [])]
    environment = {**os.environ, **dict.fromkeys(THREAD_SETTINGS, "1")}
    done = subprocess.run(arguments, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    typer.run(main)
