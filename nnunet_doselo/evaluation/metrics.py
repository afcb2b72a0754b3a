"""The metrics that comparisons list: how each is called and shown, and what it means. Data, no arithmetic."""

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """A column of tables. `key` names it in scores.csv; `scale` turns the stored number into the shown one."""

    key: str
    title: str
    unit: str
    better: Better
    meaning: str
    digits: int
    scale: float = 1.0

    @property
    def lower_is_better(self) -> bool:
        return self.better == "lower"

    @property
    def difference_unit(self) -> str:
        """Two shares in per cent differ by percentage points."""
        return "percentage points" if self.unit == "%" else self.unit

    def show(self, value: float | None) -> str:
        """An en dash where there is no value."""
        return "–" if value is None or not math.isfinite(value) else f"{self.scale * value:.{self.digits}f}"


METRICS = (
    Metric(
        "union_rmae",
        "union RMAE",
        "%",
        "lower",
        "mean relative difference between the doses of the true and of the evaluated contour, inside the body where "
        "either is at least 10 % of the prescription, relative to the former or to that threshold if it is lower: what "
        "the mistake costs, dose on islands included",
        1,
        100.0,
    ),
    Metric(
        "rmae",
        "RMAE",
        "%",
        "lower",
        "mean relative difference between the doses of the true and of the evaluated contour, inside the body where "
        "the former is at least 10 % of the prescription: what the mistake costs around the target",
        1,
        100.0,
    ),
    Metric("dose_score_gy", "dose score", "Gy", "lower", "mean absolute difference of both doses inside the body", 2),
    Metric(
        "dvh_score_gy",
        "DVH score",
        "Gy",
        "lower",
        "OpenKBP's: mean absolute difference of D99, D95 and D1 of the targets, and of D0.1cc and mean of the organs",
        2,
    ),
    Metric(
        "gamma_pass_percent",
        "gamma",
        "%",
        "higher",
        "share of the voxels of at least 10 % of the prescription that find their dose nearby in the evaluated one "
        "(global, of the prescription; the criterion stands in the provenance)",
        1,
    ),
    Metric(
        "target_dice",
        "Dice",
        "",
        "higher",
        "overlap of the evaluated with the true target: 1 is the same volume, 0 is none in common",
        3,
    ),
    Metric(
        "target_surface_dice_2mm",
        "surface Dice, 2 mm",
        "",
        "higher",
        "share of both surfaces that lies within 2 mm of the other one; no value where nothing was drawn",
        3,
    ),
    Metric(
        "target_hd_mm",
        "Hausdorff",
        "mm",
        "lower",
        "largest distance between both surfaces; no value where nothing was drawn",
        1,
    ),
    Metric(
        "target_hd95_mm",
        "HD95",
        "mm",
        "lower",
        "95th percentile of the distance between both surfaces; no value where nothing was drawn",
        1,
    ),
    Metric(
        "target_fp_beyond_20mm_cc",
        "far false positives",
        "cc",
        "lower",
        "volume drawn more than 20 mm from any target: hardly moves Dice, and gets a prescription's worth of dose",
        2,
    ),
    Metric("islands", "islands", "", "lower", "parts of the evaluated target that touch no true target", 2),
    Metric("islands_cc", "volume of islands", "cc", "lower", "volume of all islands together", 2),
    Metric(
        "goals_lost",
        "goals lost",
        "",
        "lower",
        "clinical goals that the dose of the true contour meets and that of the evaluated contour does not",
        2,
    ),
)
PRIMARY = "union_rmae"
"""Fixed before any network is looked at: orders cases, chooses those that are shown, and is told first."""
BY_KEY = {metric.key: metric for metric in METRICS}
OVERLAPS = ("dice", "surface_dice_2mm", "hd_mm", "hd95_mm")
"""What is told of each target as of all of them together: TARGET_dice beside target_dice."""


def overlap_metric(target: str, overlap: str) -> Metric:
    """Of one target among several; `overlap` is one of `OVERLAPS`."""
    whole = BY_KEY[f"target_{overlap}"]
    return Metric(
        f"{target}_{overlap}", f"{target} {whole.title}", whole.unit, whole.better, whole.meaning, whole.digits
    )
