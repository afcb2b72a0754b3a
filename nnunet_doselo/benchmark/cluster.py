"""Where jobs run with `--scheduler`: on the workers of a dask.distributed scheduler, wherever those are."""

from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any

from nnunet_doselo.common.errors import DoseloError

CONNECT_S = 10
NEEDS_GPU = {"GPU": 1}


class _Executor(Executor):
    """dask's, for `benchmark_run.perform_job`: jobs that follow from others go first, before the next training."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future:
        _, job, _ = args
        return self.executor.submit(fn, *args, priority=1 if job.needs else 0, **kwargs)


class DaskPools:
    """Heavy jobs go to workers that offer GPU=1 (`dask worker --resources GPU=1`), if they need a GPU; others to all.

    A job whose worker dies is given to another worker by the scheduler; after three dead workers the job has failed.
    """

    def __init__(self, address: str, *, gpu: bool) -> None:
        """`gpu`: heavy jobs ask for GPU=1.

        Raises
        ------
        DoseloError: the package distributed is not installed, or nobody answers at that address.
        """
        self.address = address
        try:
            from distributed import Client
        except ImportError as error:
            raise DoseloError(
                "--scheduler needs the package distributed; pip install 'nnunet-doselo[cluster]', here and where the "
                "workers are"
            ) from error
        try:
            self.client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise DoseloError(
                f"{address}: expected a dask scheduler, found none ({error}); start one with `dask scheduler`, and "
                "pass the address that it prints"
            ) from error
        self._light = _Executor(self.client.get_executor(pure=False))
        self._heavy = _Executor(self.client.get_executor(pure=False, resources=NEEDS_GPU)) if gpu else self._light

    def executor(self, *, heavy: bool) -> Executor:
        return self._heavy if heavy else self._light

    def width(self, *, heavy: bool) -> int | None:
        return None

    def renew(self) -> None:
        """Nothing to do: the scheduler looks after its workers."""

    def lost(self) -> str:
        return f"the scheduler at {self.address} does not answer any more"

    def stop(self) -> None:
        with suppress(Exception):  # whatever is wrong with a connection that is given up
            self.client.close(timeout=CONNECT_S)

    def workers(self) -> tuple[int, int]:
        """How many there are now, and how many of them offer a GPU."""
        known = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return len(known), sum(worker["resources"].get("GPU", 0) >= 1 for worker in known)
