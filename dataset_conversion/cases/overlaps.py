"""What is lost where structures overlap: a label map holds one structure a voxel."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from nnunet_doselo.dataset.geometry import Grid
from nnunet_doselo.dataset.structures import Overlap

LostCc = dict[tuple[str, str], float]


def lost_cc(overlaps: Sequence[Overlap], grid: Grid) -> LostCc:
    """Volume (cc) by pair (kept, lost) of one case."""
    return {(overlap.kept, overlap.lost): overlap.voxels * grid.voxel_cc for overlap in overlaps}


def print_lost(cases: Sequence[LostCc]) -> None:
    """One line a pair on standard error, the largest loss over all cases first; nothing without overlaps."""
    total: Counter[tuple[str, str]] = Counter()
    for case in cases:
        total.update(case)
    console = Console(stderr=True)
    for (kept, lost), volume_cc in total.most_common():
        console.print(f"  overlap: {kept} over {lost}, {volume_cc:.1f} cc in all")
