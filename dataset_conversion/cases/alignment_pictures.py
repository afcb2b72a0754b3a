"""A checkerboard of every image that was put onto the CT, beside the case's record."""

from pathlib import Path

from nnunet_doselo.dataset.images import array_view, grid_of

from .assemble import PatientImages
from .record import conversion_record_file


def save_checkerboards(patient: PatientImages, case: str, folder: Path) -> None:
    """How each image lies on the CT, to look at: CASE_CHANNEL.png, with how it came there as title."""
    from .checkerboard import save_checkerboard

    spacing_mm = grid_of(patient.ct).spacing_zyx
    for channel, image in patient.images.items():
        png, how = conversion_record_file(folder, f"{case}_{channel}", ".png"), patient.alignment[channel]["how"]
        ct_hu, values = array_view(patient.ct), array_view(image)
        save_checkerboard(png, ct_hu, values, spacing_mm, title=f"{case}, {channel}: {how}")
