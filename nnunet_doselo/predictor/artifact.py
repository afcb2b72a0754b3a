"""The dose predictor as a file: TorchScript for callers, safetensors for the weights, one JSON card in both.

TorchScript is deprecated since torch 2.11 and warns on every call; this module owns these warnings. Loading never
unpickles, but a TorchScript file is a program: `FrozenPredictor.sha256` says which one ran.
"""

import dataclasses
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import all_or_nothing
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.common.nnunet_environment import PREDICTOR_VARIABLE
from nnunet_doselo.predictor.beam_paths import left_is_right
from nnunet_doselo.predictor.card import PredictorCard
from nnunet_doselo.predictor.network import DosePredictor
from nnunet_doselo.predictor.spatial_domain import SpatialDomain

FILE_NAME = "dose_predictor.ts"
FILE_NAME_3D = "dose_predictor_3d.ts"
"""Beside the other: 2d configurations are trained with a predictor of slices, 3d ones with either."""
FILE_NAMES_FOR = {2: (FILE_NAME,), 3: (FILE_NAME_3D, FILE_NAME), None: (FILE_NAME, FILE_NAME_3D)}
"""Where a predictor is sought, first to last: for slices, for volumes, for whole patients."""
EXPORT_AGAIN = (
    "cards of networks with beams once lacked their gantry_deg: export it again with `doselo train-predictor DATASET "
    "--resume` and the options of its training"
)
_CARD = "card.json"


@dataclass(frozen=True)
class FrozenPredictor:
    """A loaded artifact, in evaluation mode, without trainable weights."""

    module: nn.Module
    card: PredictorCard
    sha256: str
    path: Path

    def __call__(self, target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        """Dose in Gy, (B, 1, *S) float32; S is (Y, X) or (Z, Y, X), as the card says; see `DosePredictor.forward`."""
        return self.module(target, oars, ct)

    @property
    def domain(self) -> SpatialDomain:
        """How its training moved patients about.

        Raises
        ------
        DoseloError: the network knows beams that its card does not name.
        """
        self._require_named_beams()
        return self.card.domain

    def mirrored(self) -> "FrozenPredictor":
        """The same, averaged over images as they are and mirrored left to right: test-time augmentation.

        Raises
        ------
        DoseloError: the network knows beams that are not their own mirror image, or that its card does not name.
        """
        self._require_named_beams()
        if not left_is_right(self.card.gantry_deg):
            raise DoseloError(
                f"{self.path}: beams at {self.card.gantry_deg} degrees are not their own mirror image; predict without "
                "mirroring"
            )
        return dataclasses.replace(self, module=_Mirrored(self.module))

    def _require_named_beams(self) -> None:
        if not self.card.gantry_deg and _sees_beams(self.module):
            raise DoseloError(f"{self.path}: the network sees beams that its card does not name; {EXPORT_AGAIN}")


class _Mirrored(nn.Module):
    """Averages a module's output with that of its inputs mirrored along the last axis, mirrored back."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, target: Tensor, oars: Tensor, ct: Tensor) -> Tensor:
        mirrored = self.module(target.flip(-1), oars.flip(-1), ct.flip(-1)).flip(-1)
        return (self.module(target, oars, ct) + mirrored) / 2


def save_predictor(network: DosePredictor, card: PredictorCard, path: Path) -> Path:
    """Freeze `network` into `path` (.ts) and write its weights beside it (.safetensors); files appear whole.

    Batch normalisation is not folded into the convolutions: the script then computes what the network computes, under
    autocast too. Folded, the two would be rounded at different places, in bfloat16 by half a gray.
    """
    network = network.cpu().eval().requires_grad_(False)
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    with _without_deprecation(), torch.no_grad():
        frozen = torch.jit.freeze(torch.jit.script(network), optimize_numerics=False)
        with all_or_nothing(path) as script, all_or_nothing(path.with_suffix(".safetensors")) as weights:
            torch.jit.save(frozen, str(script), _extra_files={_CARD: card.to_json()})
            save_file(state, weights, metadata={_CARD: card.to_json()})
            shutil.copymode(script, weights)  # safetensors lets the owner alone read what it writes
    return path


def load_predictor(path: Path | str, device: torch.device | str = "cpu") -> FrozenPredictor:
    """Load the TorchScript artifact.

    >>> from nnunet_doselo import load_predictor
    >>> predictor = load_predictor("dose_predictor.ts")
    >>> predictor.card.axes, predictor.card.spacing_mm, predictor.card.target_gy
    ('axial 2d', (3.0, 3.0), {'GTV': 60.0})

    Raises
    ------
    DoseloError: the file is missing, unreadable, or carries no card of this format; there is no such device.
    """
    _require_device(device)
    path, extra = Path(path), {_CARD: ""}
    try:
        with _without_deprecation():
            module = torch.jit.load(str(path), map_location=device, _extra_files=extra)
    except (RuntimeError, ValueError) as error:
        reason = "not a TorchScript file" if path.exists() else "no such file"
        raise DoseloError(f"{path}: {reason}; make one with `doselo train-predictor DATASET`") from error
    return FrozenPredictor(module, PredictorCard.from_json(extra[_CARD], path), sha256_of(path), path)


def load_network(path: Path) -> tuple[DosePredictor, PredictorCard]:
    """Rebuild the trainable network from the safetensors file beside an artifact (or given itself).

    Raises
    ------
    DoseloError: the file is missing, unreadable, carries no card of this format, or weights of another network.
    """
    file = path.with_suffix(".safetensors")
    try:
        with safe_open(file, framework="pt") as weights:
            card = PredictorCard.from_json((weights.metadata() or {}).get(_CARD, ""), file)
            state = {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError) as error:
        raise DoseloError(f"{file}: no readable weights ({error})") from error
    network = DosePredictor(card.network_settings)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        sizes = " ".join(str(error).split())
        raise DoseloError(f"{file}: weights do not fit the network on their card ({sizes}); {EXPORT_AGAIN}") from error
    return network.eval(), card


def load_both(path: Path) -> tuple[DosePredictor, FrozenPredictor]:
    """The trainable network and the artifact that was frozen of it.

    Raises
    ------
    DoseloError: a file is missing or unreadable, or the weights beside the artifact are another predictor's.
    """
    (network, card), frozen = load_network(path), load_predictor(path)
    if dataclasses.replace(frozen.card, sensitivity=None) != dataclasses.replace(card, sensitivity=None):
        raise DoseloError(
            f"{path.with_suffix('.safetensors')}: its card must be that of {path.name}, found another; put the weights "
            "back that were written with it"
        )
    return network, frozen


def add_sensitivity(path: Path, sensitivity: dict[str, Any]) -> Path:
    """Write both files of an artifact anew with these figures on the card; the weights stay, the SHA-256 changes.

    Raises
    ------
    DoseloError: see `load_both`.
    """
    network, frozen = load_both(path)
    return save_predictor(network, dataclasses.replace(frozen.card, sensitivity=sensitivity), path)


def find_predictor(preprocessed_dataset: Path, dim: int | None = None) -> Path:
    """The predictor that a dataset uses: the environment variable first, then the dataset's own folder.

    dim: 2 for a network that sees slices, which takes the predictor of slices alone; 3 for one that sees volumes: the
    predictor of volumes goes before that of slices. None for whole patients, which either predicts: that of slices goes
    first.

    Raises
    ------
    DoseloError: there is none, naming all places.
    """
    named = os.environ.get(PREDICTOR_VARIABLE)
    datasets_own = [preprocessed_dataset / name for name in FILE_NAMES_FOR[dim]]
    for path in [Path(named)] if named else datasets_own:
        if path.is_file():
            return path
    raise DoseloError(
        f"no dose predictor: {PREDICTOR_VARIABLE} is {named or 'not set'}, and the dataset's own would be "
        f"{' or '.join(map(str, datasets_own))}; make one with `doselo train-predictor DATASET`, or set the variable"
    )


def _sees_beams(module: nn.Module) -> bool:
    """Whether a frozen script looks along rays: `beam_paths` alone samples images at other places than their voxels."""
    return isinstance(module, torch.jit.ScriptModule) and "aten::grid_sampler" in str(module.graph)


def _require_device(device: torch.device | str) -> None:
    """torch names a device that is missing no differently from a file that is damaged."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DoseloError(f"device {device}: cannot be used here ({str(error).splitlines()[0]})") from error


@contextmanager
def _without_deprecation() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\..*deprecated.*")
        yield
