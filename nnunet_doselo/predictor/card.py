"""The card of a dose predictor: what it is, what it was made for, and how good it was found to be."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.predictor.field_edge import FieldEdge
from nnunet_doselo.predictor.network import NetworkSettings
from nnunet_doselo.predictor.spatial_domain import SpatialDomain, domain_of_beams

FORMAT_VERSION = 1
AXIAL_2D, VOLUME_3D = "axial 2d", "3d"
AXES = {2: AXIAL_2D, 3: VOLUME_3D}
"""What a card says of a network with so many dimensions."""
TUPLES = ("spacing_mm", "hu_window", "first", "second", "gantry_deg", "field_edge_mm")


@dataclass(frozen=True)
class PredictorCard:
    """What a predictor is, what it was trained on, and how far to trust it.

    axes: "axial 2d", dose of a slice from that slice alone, or "3d", dose of a volume.
    spacing_mm: of the voxels that it was trained on, (y, x) or (z, y, x).
    gantry_deg: of the beams whose paths the network sees; empty for a network that sees none.
    augmentation: how its training moved patients about; None on cards that are older, see `domain`.
    field_edge_mm: margin and penumbra along z of `predictor.field_edge`; None for volumes, or where it helped nothing.
    sensitivity: None until `doselo sensitivity` has measured it; `common.sensitivity` says what it holds.
    """

    spacing_mm: tuple[float, ...]
    oars: dict[str, int]
    target_gy: dict[str, float]
    hu_window: tuple[float, float]
    first: tuple[int, ...]
    second: tuple[int, ...]
    training_data_sha256: str
    validation: dict[str, Any]
    versions: dict[str, str]
    sensitivity: dict[str, Any] | None = None
    axes: str = AXIAL_2D
    gantry_deg: tuple[float, ...] = ()
    augmentation: SpatialDomain | None = None
    field_edge_mm: tuple[float, float] | None = None
    format_version: int = FORMAT_VERSION
    licence: str = "the weights carry the licence of the data they were trained on; not a medical device"

    @property
    def dim(self) -> int:
        """2 or 3; KeyError for axes that `from_json` would refuse."""
        return {axes: dim for dim, axes in AXES.items()}[self.axes]

    @property
    def domain(self) -> SpatialDomain:
        """What it has seen; predictors whose card does not say were trained as their beams allow."""
        return self.augmentation or domain_of_beams(self.gantry_deg, self.dim)

    @property
    def guidance(self) -> DoseGuidance:
        return DoseGuidance(self.target_gy, self.oars, self.gantry_deg)

    @property
    def field_edge(self) -> FieldEdge | None:
        return FieldEdge(*self.field_edge_mm) if self.field_edge_mm else None

    @property
    def network_settings(self) -> NetworkSettings:
        guidance = self.guidance
        return NetworkSettings(
            tuple(guidance.organ_labels),
            guidance.prescription_gy,
            self.first,
            self.second,
            self.hu_window,
            self.dim,
            self.gantry_deg,
            (self.spacing_mm[-2], self.spacing_mm[-1]),
        )

    def require_for(self, dim: int, configuration: str, where: Path | str) -> None:
        """Raises DoseloError unless the predictor takes what the network sees; one of slices takes volumes, too.

        dim: axes of the patches of nnU-Net's configuration.
        """
        if self.dim > dim:
            raise DoseloError(
                f"{where}: predicts {self.axes}, but configuration {configuration} shows axial slices and needs a "
                f"predictor of axes {AXIAL_2D}; train one with `doselo train-predictor DATASET --dim 2`, or train "
                "3d_fullres"
            )

    def require_fitting(self, guidance: DoseGuidance, where: Path | str) -> None:
        """Raises DoseloError unless the predictor was made for these organs and targets; it may be of slices or 3D."""
        for what, on_card, declared in (
            ("organs", self.oars, guidance.oars),
            ("prescribed doses", self.target_gy, guidance.target_gy),
        ):
            if on_card != declared:
                raise DoseloError(
                    f"{where}: was made for {what} {on_card}, the dataset declares {declared}; train a predictor on "
                    "this dataset, or on one with the same declarations"
                )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes, where: Path) -> "PredictorCard":
        """Raises DoseloError if there is no card, one of another format version, or one that contradicts itself."""
        try:
            content = json.loads(text)
            version = content["format_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise DoseloError(f"{where}: no dose predictor of this project, its card is missing") from error
        if version != FORMAT_VERSION:
            raise DoseloError(
                f"{where}: dose predictor of format {version}, this version reads format {FORMAT_VERSION}; "
                "export it again with `doselo train-predictor --resume`, or install the version that wrote it"
            )
        try:
            fields: dict[str, Any] = {
                key: tuple(value) if key in TUPLES and value is not None else value for key, value in content.items()
            }
            if fields.get("augmentation"):
                fields["augmentation"] = SpatialDomain.from_json(fields["augmentation"])
            card = cls(**fields)
        except TypeError as error:
            raise DoseloError(f"{where}: its card is damaged ({error})") from error
        card._require_consistent(where)
        return card

    def _require_consistent(self, where: Path) -> None:
        if self.axes not in AXES.values():
            raise DoseloError(
                f"{where}: the axes on its card must be one of {', '.join(AXES.values())}, found {self.axes}; install "
                "the version that wrote it"
            )
        if len(self.spacing_mm) != self.dim:
            raise DoseloError(
                f"{where}: its card is damaged, a predictor of axes {self.axes} has {self.dim} voxel spacings, found "
                f"{self.spacing_mm}; export it again with `doselo train-predictor --resume`"
            )
        if not all(isinstance(mm, int | float) and 0 < mm < math.inf for mm in self.spacing_mm):
            raise DoseloError(
                f"{where}: its card is damaged, voxel spacings must be positive numbers in mm, found "
                f"{self.spacing_mm}; export it again with `doselo train-predictor --resume`"
            )
