"""An artifact outlives the torch that wrote it: the lowest supported version and this one read each other's.

python -m venv other && other/bin/pip install torch==2.6.0 numpy safetensors
DOSELO_OTHER_PYTHON=other/bin/python python -m pytest tests/predictor/test_other_torch.py
"""

import os
import subprocess
from pathlib import Path

import dose_of_artifact
import pytest
import torch
from predictors import card_of, random_inputs, random_network
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nnunet_doselo.predictor.artifact import load_network, load_predictor, save_predictor

VARIABLE = "DOSELO_OTHER_PYTHON"
pytestmark = pytest.mark.slow


@pytest.fixture
def other_python() -> str:
    """An interpreter that has another torch."""
    named = os.environ.get(VARIABLE)
    if not named:
        pytest.skip(f"no other torch: set {VARIABLE} to an interpreter that has one, numpy and safetensors")
    return named


@pytest.mark.parametrize("gantry_deg", [(), (0.0, 120.0, 240.0)], ids=str)
@pytest.mark.parametrize("size", [(37, 53), (9, 21, 18)], ids=str)
def test_both_versions_read_what_the_other_wrote(
    other_python: str, repository: Path, tmp_path: Path, size: tuple[int, ...], gantry_deg: tuple[float, ...]
) -> None:
    network, inputs = random_network(dim=len(size), gantry_deg=gantry_deg), random_inputs(2, *size)
    ours, theirs = tmp_path / "ours.ts", tmp_path / "theirs.ts"
    save_predictor(network, card_of(network), ours)
    save_file(dict(zip(("target", "oars", "ct"), inputs, strict=True)), tmp_path / "inputs")
    files = [ours, tmp_path / "inputs", tmp_path / "results", theirs]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    subprocess.run([other_python, dose_of_artifact.__file__, *map(str, files)], env=environment, check=True)

    moving = inputs[0].clone().requires_grad_()
    expected = network(moving, *inputs[1:])
    (gradient,) = torch.autograd.grad(expected.sum(), moving)
    results = load_file(tmp_path / "results")
    torch.testing.assert_close(results["dose"], expected.detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(results["gradient"], gradient, rtol=0, atol=1e-3 * float(gradient.abs().max()))
    torch.testing.assert_close(load_predictor(theirs)(*inputs), expected.detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(load_network(theirs)[0](*inputs), expected, rtol=0, atol=1e-4)
    assert load_predictor(theirs).card == card_of(network)
    with safe_open(tmp_path / "results", framework="pt") as written:
        assert written.metadata()["torch"] != torch.__version__, f"{VARIABLE} names an interpreter of the same torch"
