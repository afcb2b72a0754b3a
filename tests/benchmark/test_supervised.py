"""Commands that end with whoever asked for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes_seen import assert_ends, pid_in

from nnunet_doselo.benchmark.benchmark_run import Run
from nnunet_doselo.benchmark.supervised import run_supervised
from nnunet_doselo.common.errors import DoseloError

SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def allow() -> None:
    """Nothing is against it."""


@pytest.mark.parametrize(
    ("code", "status"), [("print('said')", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_the_status_is_the_commands(tmp_path: Path, code: str, status: int) -> None:
    assert run_supervised([sys.executable, "-c", code], dict(os.environ), tmp_path / "log", allow) == status
    assert (tmp_path / "log").read_text() == ("said\n" if status == 0 else "")


def test_a_refusal_stops_the_command(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def refuse() -> None:
        if log.read_text():
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run_supervised([sys.executable, "-c", SLEEPER], dict(os.environ), log, refuse)
    assert_ends(pid_in(log))


def test_a_command_does_not_outlive_a_killed_caller(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, sys; from pathlib import Path; from nnunet_doselo.benchmark.supervised import run_supervised; "
        f"run_supervised([sys.executable, '-c', {SLEEPER!r}], dict(os.environ), Path({str(log)!r}), lambda: None)"
    )
    caller = subprocess.Popen([sys.executable, "-c", code])
    pid = pid_in(log)
    caller.kill()
    caller.wait()
    assert_ends(pid)


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    run = Run.begin(tmp_path)
    with pytest.raises(DoseloError, match=r"ended with status 3\. The end of .*logs/job\.log:\n    no luck$"):
        run.command("job", [sys.executable, "-c", "print('no luck'); raise SystemExit(3)"])


def test_commands_see_nnunets_variables_as_they_were_where_the_run_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("nnUNet_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("nnUNet_results", "somewhere")
    monkeypatch.chdir(tmp_path)
    run = Run.begin(tmp_path / "benchmark")
    monkeypatch.setenv("nnUNet_results", "elsewhere")
    monkeypatch.setenv("nnUNet_compile", "f")
    code = "import os; print(*(f'{k}={v}' for k, v in sorted(os.environ.items()) if k.startswith('nnUNet_')))"
    run.command("job", [sys.executable, "-c", code])
    said = (tmp_path / "benchmark" / "logs" / "job.log").read_text().split()
    assert said[1] == f"nnUNet_results={tmp_path}/somewhere"
    assert said[0].startswith("nnUNet_extTrainer=/")
    assert len(said) == 2


@pytest.mark.parametrize(("asked", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_asleep_unless_the_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None, policy: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if asked:
        monkeypatch.setenv("OMP_WAIT_POLICY", asked)
    Run.begin(tmp_path).command("job", [sys.executable, "-c", "import os; print(os.environ['OMP_WAIT_POLICY'])"])
    assert (tmp_path / "logs" / "job.log").read_text().split() == [policy]
