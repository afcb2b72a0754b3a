"""What a benchmark says about the machine it ran on, and the memory it took; memory on Linux only."""

import os
import platform
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

KILOBYTES_PER_GB = 1e6
BYTES_PER_GB = 1e9
RESET_PEAK = "5"
"""What /proc/self/clear_refs takes to forget the largest resident size so far."""


def command() -> str:
    """As it was typed, but for the interpreter's path."""
    return shlex.join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])


def hardware(device: torch.device | str = "cpu") -> str:
    """Processor, cores that this process may use, threads of torch, and the GPU if it is asked."""
    cores = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {torch.get_num_threads()} torch threads"
    return f"{cores}, {torch.cuda.get_device_name(device)}" if torch.device(device).type == "cuda" else cores


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def synchronise(device: torch.device | str) -> None:
    """Wait for the GPU, so that a clock that is read next shows what was asked of it before."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak(device: torch.device | str) -> None:
    """From here on `peak_gb` counts anew."""
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_gb(device: torch.device | str) -> dict[str, float]:
    """Largest resident size of this process, and memory that torch held on the GPU."""
    on_cpu = {"process": _largest_resident_gb("self")}
    if torch.device(device).type == "cuda":
        return on_cpu | {"gpu": torch.cuda.max_memory_allocated(device) / BYTES_PER_GB}
    return on_cpu


def worker_peak_gb(processes: Iterable[int | None]) -> dict[str, float]:
    """Of the largest of some processes; they share what they were started with. Nothing without any."""
    found = [_largest_resident_gb(str(process)) for process in processes]
    return {"largest_worker": max(found)} if found else {}


def _largest_resident_gb(process: str) -> float:
    """`getrusage` will not do: it starts from the memory of the process that started this one."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) / KILOBYTES_PER_GB
