"""Fixtures for the whole suite."""

import os
from pathlib import Path

import pytest
import torch

# networks here are tiny: more threads would only wait for each other
torch.set_num_threads(1)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real patients; tests that need it are skipped without it."""
    folder = Path(os.environ.get("DOSELO_REALDATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is no folder; set DOSELO_REALDATA to one")
    return folder
