"""The panel below nnU-Net's `progress.png`: voxel loss, dose term, and the dose error in Gy, epoch by epoch."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from nnunet_doselo.common.files import all_or_nothing, png_bytes

DOSE_PANEL_INCHES = (30, 18)
"""As wide as nnU-Net's picture, as high as each of its panels."""
PANEL_DPI = 100
PANEL_CURVES = (
    ("voxel_loss", "voxel loss", "b"),
    ("dose_term", "dose term, (dose / Rx)²", "darkorange"),
    ("dose_rms_gy", "dose error, RMS in Gy", "g"),
)

Log = Mapping[str, Sequence[float]]


def append_dose_panel(picture: Path, log: Log) -> None:
    """Put the panel below the picture that is there; `log` has one value an epoch, NaN where it is not known."""
    with Image.open(picture) as file:
        above = file.convert("RGB")
    below = draw_dose_panel(log)
    whole = Image.new("RGB", (max(above.width, below.width), above.height + below.height), "white")
    whole.paste(above, (0, 0))
    whole.paste(below, (0, above.height))
    with all_or_nothing(picture) as partial:
        whole.save(partial, format="PNG", compress_level=1)


def draw_dose_panel(log: Log) -> Image.Image:
    """Three curves of different units share the epochs and have an axis each."""
    with rc_context({"font.size": 30, "axes.labelsize": 30, "xtick.labelsize": 27, "ytick.labelsize": 27}):
        figure = Figure(figsize=DOSE_PANEL_INCHES, dpi=PANEL_DPI)
        left = figure.add_axes((0.08, 0.12, 0.72, 0.76))
        left.set_xlabel("epoch")
        axes = (left, left.twinx(), left.twinx())
        axes[2].spines["right"].set_position(("axes", 1.15))
        axes[2].spines["right"].set_visible(True)
        for place, (axis, (name, label, colour)) in enumerate(zip(axes, PANEL_CURVES, strict=True)):
            axis.grid(place == 0)
            _draw(axis, log, name, label, colour)
            axis.legend(loc="lower left", bbox_to_anchor=(0.33 * place, 1), fontsize=24)
        return _rendered(figure)


def _draw(axis: Axes, log: Log, name: str, label: str, colour: str) -> None:
    """Training solid, validation dotted; the smoothed dose error as a thick line."""
    axis.plot(log[f"train_{name}"], color=colour, ls="-", linewidth=3, label=f"{label.partition(',')[0]}, training")
    axis.plot(log[f"val_{name}"], color=colour, ls="dotted", linewidth=3, label="validation")
    if f"val_ema_{name}" in log:
        axis.plot(log[f"val_ema_{name}"], color=colour, ls="-", linewidth=6, label="validation (mov. avg.)")
    axis.set_ylabel(label, color=colour)
    axis.tick_params(axis="y", colors=colour)


def _rendered(figure: Figure) -> Image.Image:
    return Image.open(BytesIO(png_bytes(figure, dpi=PANEL_DPI))).convert("RGB")
