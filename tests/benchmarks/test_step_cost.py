"""The benchmark of a step compares ways to work out one and the same loss."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nnunet_doselo.losses.heads import Heads

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated")


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch):
    if not BENCHMARKS.exists():
        pytest.skip("benchmarks are not installed")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import step_variants

    return step_variants


@pytest.mark.parametrize("coarser", [False, True])
def test_every_form_of_the_dose_term_is_the_same_loss(variants, coarser: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 32, 32, generator=generator)
    truth = torch.zeros(3, 1, 32, 32, dtype=torch.int16)
    truth[1:, :, 8:16, 8:20] = 1
    rest = truth, torch.randint(0, 8, truth.shape, generator=generator), torch.zeros(truth.shape)
    found = {}
    for name, form in variants.FORMS.items():
        if form.coarser == coarser and not form.compiled:
            output = logits.clone().requires_grad_()
            value = variants.dose_term(form, Heads((1.0,)), 0.1, 2.0, "cpu")(output, *rest)
            found[name] = value.detach(), torch.autograd.grad(value, output)[0]
    assert len(found) == 4
    first, *others = found.values()
    assert first[1].abs().max() > 0
    for value, gradient in others:
        torch.testing.assert_close(value, first[0])
        torch.testing.assert_close(gradient, first[1], rtol=1e-3, atol=1e-4 * float(first[1].abs().max()))


@pytest.mark.slow
def test_steps_are_timed_counted_and_weighed(variants) -> None:
    names = ["nnU-Net", "naive", "DOSELO", "DOSELO, sure of empty slices", "paper's loop"]
    chosen = [option for name in names for option in ("--only", name)]
    size = ["--small", "--size", "32", "--batch-size", "2", "--rounds", "1", "--warm-up", "1", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "step_cost.py"), *size, *chosen], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    ratios = result["gflop_per_image"]["step over nnU-Net's"]
    assert 1 < ratios["coarser"] < ratios["naive"] < ratios["paper's loop"]
    assert set(result["seconds"]) == set(result["peak_gb"]) == set(names)
    assert all(entry["median"] > 0 for entry in result["seconds"].values())
