"""Pictures of the cases: what the viewer shows, DVHs, and the panels of the chosen ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.progress import track

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.guidance import DoseGuidance
from nnunet_doselo.dataset.structures import Structure, structure_masks
from nnunet_doselo.evaluation.dvh_pictures import dvh_curves, dvh_figure
from nnunet_doselo.evaluation.metrics import PRIMARY

from .case_images import CaseImages, case_dvh, load_images
from .chart_pictures import png_of
from .chosen_cases import ChosenCase, cases_to_show
from .panel import PanelTitles, difference_limit_gy, panel_picture
from .report_data import ShownCase
from .results_folder import ContourPlan, Results
from .viewer import ViewedCase, bytes_in_page, view_case


@dataclass(frozen=True)
class CasePages:
    """viewed: one for each of `shown`. panels, dvhs: PNG by chosen case, and by title. limit_gy: of differences."""

    shown: Sequence[ShownCase]
    viewed: Sequence[ViewedCase]
    panels: Mapping[str, bytes]
    dvhs: Mapping[str, Mapping[str, bytes]]
    limit_gy: float
    remarks: Sequence[str]

    @property
    def thinned(self) -> bool:
        """True if the viewer leaves out slices or pixels of a case."""
        return any(case.thinned for case in self.viewed)


def case_pages(
    results: Results, chosen: Sequence[ChosenCase], against: str | None, count: int, budget: int
) -> CasePages:
    """Read the images of up to `count` cases, and draw.

    Parameters
    ----------
    against: DVHs for print are of the baseline and of this trainer.
    budget: bytes that all cases may take in the page.
    """
    cases = cases_to_show(results.comparison.order, chosen, count)
    shown, viewed, kept, remarks = [], [], {}, []
    for case in track(cases, "Reading cases", disable=not cases):
        try:
            images, structures, plans = _load(results, case)
        except DoseloError as error:
            remarks.append(f"{case}: no pictures: {error}")
            continue
        remarks += images.remarks
        dvh = case_dvh(images, structures)
        room = budget // len(cases) - bytes_in_page(dvh)
        viewed.append(view_case(images, results.comparison.dataset.prescription_gy, room))
        drawn = {name: plans[name] for name in images.evaluated}
        shown.append(ShownCase(case, images.slice_to_look_at(), drawn, dvh))
        if case in [choice.case for choice in chosen]:
            kept[case] = (images, structures)
    limit_gy = difference_limit_gy([(images, images.slice_to_look_at()) for images, _ in kept.values()])
    panels = {case: _panel(results, images, limit_gy) for case, (images, _) in kept.items()}
    names = [name for name in (results.comparison.baseline, against) if name]
    dvhs = {case: _dvhs(results, images, structures, names) for case, (images, structures) in kept.items()}
    return CasePages(shown, viewed, panels, dvhs, limit_gy, remarks)


def _load(results: Results, case: str) -> tuple[CaseImages, list[Structure], dict[str, str]]:
    """Images, structures of the reference, and the run by trainer, in words."""
    plans = results.shown_plans(case)
    if not plans:
        raise DoseloError("none of its evaluations can be read")
    images = load_images(case, {name: plan.case.files for name, plan in plans.items()})
    dataset = results.comparison.dataset
    guidance = DoseGuidance(dict(dataset.target_gy), dict(dataset.oars))
    structures = structure_masks(images.reference.labels, images.oars, dataset.target_labels, guidance)
    return images, list(structures), {name: str(plan.run) for name, plan in plans.items()}


def _panel(results: Results, images: CaseImages, limit_gy: float) -> bytes:
    dataset, z = results.comparison.dataset, images.slice_to_look_at()
    metric = results.comparison.table.metrics[PRIMARY]
    plans = results.shown_plans(images.case)
    values = {
        name: f"{metric.title} {metric.show(plan.case.score(PRIMARY))} {metric.unit}" for name, plan in plans.items()
    }
    titles = {name: f"{results.trainers[name]}\n{_of_run(plan)}{values[name]}" for name, plan in plans.items()}
    targets = sorted({value for several in dataset.target_labels.values() for value in several})
    whole = PanelTitles(f"{images.case}, slice {z}", titles)
    return panel_picture(images, z, targets, dataset.prescription_gy, limit_gy, whole)


def _of_run(plan: ContourPlan) -> str:
    return f"{plan.run}: " if str(plan.run) else ""


def _dvhs(
    results: Results, images: CaseImages, structures: Sequence[Structure], names: Sequence[str]
) -> dict[str, bytes]:
    pictures = {}
    for name in names:
        if name in images.evaluated:
            doses = images.reference.dose_gy, images.evaluated[name].dose_gy
            title = f"{images.case}, {results.trainers[name]}"
            pictures[title] = png_of(dvh_figure(dvh_curves(structures, *doses, images.voxel_cc), title=title), dpi=110)
    return pictures
