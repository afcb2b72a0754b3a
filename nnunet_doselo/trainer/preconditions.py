"""What must hold before dose-guided training starts; each failure is one error that names its fix."""

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnunet_doselo.common.errors import DoseloError


def require_guidable(plans: PlansManager, configuration: ConfigurationManager, name: str) -> None:
    """Raises DoseloError for the second stage of a cascade, and for 2d slices that are not axial.

    3d patches may have any order of axes: they are turned back before the dose is predicted (`losses.axial`).
    """
    if configuration.previous_stage_name is not None:
        raise DoseloError(
            f"configuration {name}: the second stage of a cascade cannot be dose-guided, because nnU-Net brings the "
            "first stage's contour along in the place where the organs travel here; train 3d_fullres, or "
            f"{configuration.previous_stage_name} alone"
        )
    if len(configuration.patch_size) == 2 and plans.transpose_forward[0] != 0:
        axis = ["axial", "coronal", "sagittal"][plans.transpose_forward[0]]
        raise DoseloError(
            f"configuration {name}: slices must be axial, but nnU-Net cuts {axis} ones here (it cuts across the axis "
            f"of largest spacing; transpose_forward is {plans.transpose_forward}). Train 3d_fullres, or convert the "
            "data with slice spacing not below in-plane spacing, for example isotropic, and plan again"
        )
