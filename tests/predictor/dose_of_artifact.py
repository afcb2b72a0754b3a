"""Run by the interpreter of another torch: dose and gradient of an artifact, and the artifact written anew.

python dose_of_artifact.py ARTIFACT INPUTS RESULTS REWRITTEN, with the repository's root in PYTHONPATH. INPUTS and
RESULTS are safetensors files, so that needs torch, numpy and safetensors only.
"""

import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from nnunet_doselo.predictor.artifact import load_network, load_predictor, save_predictor


def main(artifact: Path, inputs: Path, results: Path, rewritten: Path) -> None:
    """Results: "dose" of the script, (B, 1, *S) Gy, and "gradient" of its sum to the target."""
    warnings.simplefilter("error")
    given = load_file(inputs)
    target = given["target"].requires_grad_()
    dose = load_predictor(artifact)(target, given["oars"], given["ct"])
    (gradient,) = torch.autograd.grad(dose.sum(), target)
    save_predictor(*load_network(artifact), rewritten)
    save_file({"dose": dose.detach(), "gradient": gradient.contiguous()}, results, {"torch": torch.__version__})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
