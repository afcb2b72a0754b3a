"""What must hold before dose-guided training starts; each failure is one error that names its fix."""

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunet_doselo.errors import DoseloError
from nnunet_doselo.guidance import DoseGuidance
from nnunet_doselo.predictor.card import AXIAL_2D, PredictorCard

AXIAL_FIRST = [0, 1, 2]


def require_axial_2d(plans: PlansManager, configuration: ConfigurationManager, name: str) -> None:
    """Raises DoseloError unless the configuration cuts axial 2d slices and stands alone."""
    if configuration.previous_stage_name is not None:
        raise DoseloError(
            f"configuration {name}: the second stage of a cascade cannot be dose-guided, because its input already is "
            "a contour; train 2d"
        )
    if len(configuration.patch_size) != 2:
        raise DoseloError(f"configuration {name}: dose guidance works on 2d configurations so far; train 2d")
    if list(plans.transpose_forward) != AXIAL_FIRST:
        axis = ["axial", "coronal", "sagittal"][plans.transpose_forward[0]]
        raise DoseloError(
            f"configuration {name}: slices must be axial, but nnU-Net cuts {axis} ones here (it cuts across the axis "
            f"of largest spacing; transpose_forward is {plans.transpose_forward}). Convert the data with slice spacing "
            "not below in-plane spacing, for example isotropic, and plan again"
        )


def require_predictor_of_slices(card: PredictorCard, where: str) -> None:
    """Raises DoseloError unless the predictor takes axial slices: nnU-Net's 2d configurations show nothing else."""
    if card.axes != AXIAL_2D:
        raise DoseloError(
            f"{where}: predicts {card.axes}, a 2d configuration needs a predictor of axes {AXIAL_2D}; train one with "
            "`doselo train-predictor DATASET --dim 2` (3d configurations cannot be dose-guided so far)"
        )


def require_fitting_predictor(card: PredictorCard, guidance: DoseGuidance, where: str) -> None:
    """Raises DoseloError unless the predictor was made for these organs and targets; it may be of slices or 3D."""
    for what, theirs, ours in (
        ("organs", card.oars, guidance.oars),
        ("prescribed doses", card.target_gy, guidance.target_gy),
    ):
        if theirs != ours:
            raise DoseloError(
                f"{where}: was made for {what} {theirs}, the dataset declares {ours}; train a predictor on this "
                "dataset, or on one with the same declarations"
            )
