"""A plain nnU-Net dataset that carries CT and organs as image channels becomes an extended one."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.guidance import DOSE_GUIDANCE, DoseGuidance
from nnunet_doselo.dataset.images import read_array, write_array
from nnunet_doselo.dataset.structures import paint_organs

from .cases.record import LostCc, lost_cc, print_lost
from .cases.writer import DatasetWriter, as_hu, link_or_copy

# the rest of dataset.json is written anew; without regions_class_order nnU-Net cannot train on regions
KEPT_OF_SOURCE = ("regions_class_order", "name", "description", "reference", "licence", "release", "synthetic")


@dataclass(frozen=True)
class ChannelRoles:
    """Which image channels hold the CT and the organs; all others stay images, renumbered from 0."""

    ct: int
    oars: tuple[int, ...]

    def check(self, channel_names: dict[str, str]) -> None:
        named = [self.ct, *self.oars]
        absent = [c for c in named if str(c) not in channel_names]
        if absent or len(set(named)) != len(named):
            raise DoseloError(
                f"--ct and --oars must name different channels of {channel_names}, found {self.ct} and {self.oars}"
            )
        organs = [channel_names[str(c)] for c in self.oars]
        if len(set(organs)) != len(organs):
            raise DoseloError(f"organs must have different names, the channels are called {organs}")
        if len(named) == len(channel_names):
            raise DoseloError(f"no image channel would be left of {channel_names}; the network needs at least one")

    def images(self, channel_names: dict[str, str]) -> list[int]:
        return [int(c) for c in channel_names if int(c) not in (self.ct, *self.oars)]


def parse_channels(text: str) -> tuple[int, ...]:
    """ "5-7,9" -> (5, 6, 7, 9).

    Raises
    ------
    DoseloError: the text is no list of numbers and ranges.
    """
    channels: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or int(last or first) < int(first):
            raise DoseloError(f"channels are given like 5-17 or 5,6,9, found {text!r}")
        channels += range(int(first), int(last or first) + 1)
    return tuple(channels)


def parse_target_gy(items: list[str]) -> dict[str, float]:
    """["PTV70=70", "PTV56=56"] -> {"PTV70": 70.0, "PTV56": 56.0}.

    Raises
    ------
    DoseloError: an item is not of the form LABEL=GY.
    """
    doses = {}
    for item in items:
        label, _, gy = item.partition("=")
        try:
            doses[label] = float(gy)
        except ValueError:
            raise DoseloError(f"prescribed doses are given like GTV=60, found {item!r}") from None
    return doses


def convert_channels(
    source: ExtendedDataset,
    folder: Path,
    roles: ChannelRoles,
    target_gy: dict[str, float],
    *,
    processes: int = 1,
    overwrite: bool = False,
) -> None:
    """Split channels into images, ctTr and oarsTr. Images, labels and doses are hard-linked, not copied.

    The CT channel must hold HU, the organ channels masks (0 outside). `target_gy` names the prescribed dose
    of each label. A folder doseTr of the source comes along.

    Raises
    ------
    DoseloError: roles or doses do not fit the source; the folder is the source, or holds another conversion.
    """
    if folder.resolve() == source.folder.resolve():
        raise DoseloError(f"{folder}: the new dataset must not replace its source; choose another number")
    names = source.dataset_json["channel_names"]
    roles.check(names)
    guidance = DoseGuidance(target_gy, {names[str(c)]: i for i, c in enumerate(roles.oars, start=1)})
    DoseGuidance.from_dataset_json({**source.dataset_json, DOSE_GUIDANCE: guidance.to_json()})
    writer = DatasetWriter(folder, source.ending)
    writer.begin(
        {"converter": "channels", "source": source.folder.name, "ct": roles.ct, "oars": list(roles.oars)},
        overwrite=overwrite,
    )
    lost: list[LostCc] = []
    for split in ("Tr", "Ts"):
        cases = source.cases("images", split)
        lost += map_cases(
            partial(_convert_one, source=source, writer=writer, roles=roles, guidance=guidance, split=split),
            [case for case in cases if not writer.file("oars", case, split).exists()],
            processes=processes,
            description=f"Converting images{split}",
        )
    kept = {key: source.dataset_json[key] for key in KEPT_OF_SOURCE if key in source.dataset_json}
    writer.finish([names[str(c)] for c in roles.images(names)], source.dataset_json["labels"], guidance, **kept)
    print_lost(lost)


def _convert_one(
    case: str,
    source: ExtendedDataset,
    writer: DatasetWriter,
    roles: ChannelRoles,
    guidance: DoseGuidance,
    split: str,
) -> LostCc:
    """The organs come last: a case that has them is complete."""
    channels = source.image_paths(case, split)
    for new, old in enumerate(roles.images(source.dataset_json["channel_names"])):
        link_or_copy(channels[old], writer.file("images", f"{case}_{new:04d}", split))
    for kind in ("labels", "dose"):
        if source.path(kind, case, split).exists():
            link_or_copy(source.path(kind, case, split), writer.file(kind, case, split))
    ct_hu, grid = read_array(channels[roles.ct])
    write_array(writer.file("ct", case, split), as_hu(ct_hu), grid)
    masks = {
        name: read_array(channels[channel])[0] > 0 for name, channel in zip(guidance.oars, roles.oars, strict=True)
    }
    oars, overlaps = paint_organs(masks, guidance.oars)
    write_array(writer.file("oars", case, split), oars, grid)
    return lost_cc(overlaps, grid)
