"""Dose-guided nnU-Net: segmentation for radiotherapy whose mistakes cost little dose.

What `__all__` names is the public interface, described in docs/api.md; everything else may change without notice.
Nothing of it is loaded before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnunet_doselo.common.errors import DoseloError
    from nnunet_doselo.dataset.geometry import Grid
    from nnunet_doselo.evaluation.dose_scores import score_doses
    from nnunet_doselo.evaluation.dvh import DVH
    from nnunet_doselo.losses.dose_guidance import dose_segmentation_loss
    from nnunet_doselo.planning.interface import Beams
    from nnunet_doselo.planning.plan import plan_dose
    from nnunet_doselo.predictor.artifact import load_predictor
    from nnunet_doselo.predictor.contour_dose import Anatomy, anatomy_from_files, predict_dose

__version__ = "0.1.0"
__all__ = [
    "DVH",
    "Anatomy",
    "Beams",
    "DoseloError",
    "Grid",
    "anatomy_from_files",
    "dose_segmentation_loss",
    "load_predictor",
    "plan_dose",
    "predict_dose",
    "score_doses",
]
_MODULES = {
    "DVH": "evaluation.dvh",
    "Anatomy": "predictor.contour_dose",
    "Beams": "planning.interface",
    "DoseloError": "common.errors",
    "Grid": "dataset.geometry",
    "anatomy_from_files": "predictor.contour_dose",
    "dose_segmentation_loss": "losses.dose_guidance",
    "load_predictor": "predictor.artifact",
    "plan_dose": "planning.plan",
    "predict_dose": "predictor.contour_dose",
    "score_doses": "evaluation.dose_scores",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its public names are in __all__")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
