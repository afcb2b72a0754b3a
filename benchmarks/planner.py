"""What the open planner's doses are worth: converged, good, responsive to errors of a mask, two engines, time.

    python benchmarks/planner.py --head-ct ../shared/data/head_ct/head_ct.nii.gz --pictures work/planner
    python benchmarks/planner.py --openkbp-csv work/openkbp/csv/train-pats/pt_113

Prints one JSON object, then the tables for RESULTS.md. Every RMAE is over the body where the reference has at least
10 % of Rx, and stands beside the floor: what the same mask gives when it is planned again.
"""

import hashlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import typer
from planner_cases import RX_GY, SPACING_MM, TARGET_MM, Case, head_ct, openkbp_patient, with_island, wrong_masks
from planner_cases import synthetic_head as head_case
from planner_cost import measure
from planner_report import Report
from scipy.ndimage import distance_transform_edt

from nnunet_doselo.evaluation.dose_metrics import rmae
from nnunet_doselo.evaluation.pictures import Contours, dose_comparison
from nnunet_doselo.planning import fluence
from nnunet_doselo.planning.interface import Plan
from nnunet_doselo.planning.plan import plan_dose
from nnunet_doselo.planning.tissue import find_body

AWAY_MM = 10.0
BEYOND_MM = (6, 9, 12, 18, 24, 30, 39, 48, 60)
KERNELS = (
    "The constants of the built-in kernel were fitted to PyDoseRT's, so this is agreement of geometry, ray tracing and "
    "code, not of beam data."
)


def planned(case: Case, reference: Plan | None = None, **options: object) -> Plan:
    """The case's plan; with the isocentre and beams of a reference, if one is given."""
    alike = {"isocentre_mm": reference.isocentre_mm, "beams": reference.beams} if reference else {}
    return plan_dose(case.ct_hu, case.target_gy, case.oars, SPACING_MM, **{**alike, **options})  # type: ignore[arg-type]


def percent(case: Case, reference: Plan, evaluated: Plan) -> float:
    """RMAE in per cent."""
    body = find_body(case.ct_hu, SPACING_MM).mask
    return 100 * rmae(reference.dose_gy, evaluated.dose_gy, body, reference.prescription_gy)


def convergence(report: Report, case: Case, default: Plan) -> float:
    """Add to the report; return the floor, the RMAE (%) that the solver's tolerance leaves."""
    again = planned(case)
    longer = planned(case, iterations=4 * fluence.ITERATIONS)
    with patch.object(fluence, "TOLERANCE", 0.0):
        converged = planned(case, iterations=4 * fluence.ITERATIONS)
    with patch.object(fluence, "NEAR_MM", np.inf):
        every_voxel = planned(case)
    floor = percent(case, converged, default)
    report.add("iterations until the solver stops by itself", default.iterations, "", high=fluence.ITERATIONS)
    report.add("RMAE, default and four times the iterations", percent(case, longer, default), "%", high=0.2)
    report.add(f"the same, run through without tolerance ({converged.iterations} iterations)", floor, "%", high=0.2)
    report.add(
        "largest difference, same mask planned twice", np.abs(again.dose_gy - default.dose_gy).max(), "Gy", high=0
    )
    report.add("RMAE, goals on all voxels and on the default subset", percent(case, every_voxel, default), "%")
    return floor


def quality(report: Report, case: Case, bare: Plan, spared: Plan) -> None:
    """Of a plan without organs, and of one that is told about the brainstem."""
    for name, one in (("", bare), (", brainstem given", spared)):
        dose = one.dose_gy[case.target]
        report.add(f"D95{name}", np.percentile(dose, 5), "Gy", low=57)
        report.add(f"D2{name}", np.percentile(dose, 98), "Gy", high=64.2)
    before, after = (one.dose_gy[case.oars > 0].mean() for one in (bare, spared))
    report.add("brainstem's mean dose, not given", before, "Gy")
    report.add("brainstem's mean dose, given", after, "Gy")
    report.add("which falls by", 100 * (1 - after / before), "%", low=40)


def mask_errors(report: Report, case: Case, reference: Plan, floor: float) -> None:
    """Table: the same mask, an isocentre moved, and three wrong masks."""
    doses_there = [f"mean dose there, {which}, Gy" for which in ("reference", "evaluated")]
    table = [["mask", "RMAE, %", "cc", *doses_there, f"change in the body beyond {AWAY_MM:g} mm, Gy"]]
    table.append(["the same: floor of the solver", f"{floor:.2g}", "", "", "", ""])
    z, y, x = reference.isocentre_mm
    moved = planned(case, reference, isocentre_mm=(z, y + 3, x))
    table.append(["the same, isocentre 3 mm to posterior", f"{percent(case, reference, moved):.2f}", *[""] * 4])
    for name, mask in wrong_masks(case):
        evaluated = planned(case.with_target(mask), reference)
        error = f"{percent(case, reference, evaluated):.2f}"
        far = distance_transform_edt(mask == case.target, sampling=SPACING_MM) > AWAY_MM
        far &= find_body(case.ct_hu, SPACING_MM).mask
        away = np.abs(evaluated.dose_gy - reference.dose_gy)[far]
        for what, region in (("added", mask & ~case.target), ("missed", case.target & ~mask)):
            if region.any():
                doses = [f"{one.dose_gy[region].mean():.1f}" for one in (reference, evaluated)]
                volume = f"{np.count_nonzero(region) * np.prod(SPACING_MM) / 1000:.2g} {what}"
                far_off = f"mean {away.mean():.2f}, largest {away.max():.1f}"
                table.append([name, error, volume, *doses, far_off])
                name = error = far_off = ""
    report.tables.append(table)


def engines(report: Report, case: Case, ours: Plan) -> Plan:
    """PyDoseRT's dose of the same fluence against the built-in engine's."""
    start = time.monotonic()
    theirs = planned(case, ours, engine="pydosert")
    seconds = time.monotonic() - start
    same = np.abs(ours.fluence / ours.fluence.max() - theirs.fluence / theirs.fluence.max()).max()
    means = [one.dose_gy[case.target].mean() for one in (theirs, ours)]
    report.add(f"{case.name}: largest difference of the two fluences, of their maximum", 100 * same, "%", high=1e-4)
    report.add(f"{case.name}: RMAE of the engines", percent(case, theirs, ours), "%", high=8)
    report.add(f"{case.name}: mean target dose, built-in less PyDoseRT", means[1] - means[0], "Gy", low=-1, high=1)
    ratios = out_of_field(report, case, theirs, ours)
    report.add(
        f"{case.name}: slices {BEYOND_MM[0]} to {BEYOND_MM[-1]} mm beyond, lowest ratio", min(ratios), "", low=1 / 1.5
    )
    report.add(f"{case.name}: the same, highest ratio", max(ratios), "", high=1.5)
    report.add(f"{case.name}: plan by PyDoseRT", seconds, "s")
    return theirs


def out_of_field(report: Report, case: Case, theirs: Plan, ours: Plan) -> list[float]:
    """Table of mean dose in whole slices of the body, on each side of the target; the ratios, built-in / PyDoseRT."""
    body = find_body(case.ct_hu, SPACING_MM).mask
    hit = np.flatnonzero(case.target.any(axis=(1, 2)))
    table, ratios = [["mm beyond the target", "PyDoseRT, Gy", "built-in, Gy", "ratio"]], []
    for side, last, sign in (("inferior", hit[0], -1), ("superior", hit[-1], 1)):
        for beyond in BEYOND_MM:
            z = last + sign * round(beyond / SPACING_MM[0])
            if not 0 <= z < len(body) or not body[z].any():
                continue
            means = [float(one.dose_gy[z][body[z]].mean()) for one in (theirs, ours)]
            ratios.append(means[1] / means[0])
            table.append([f"{beyond} {side}", *(f"{mean:.3f}" for mean in means), f"{ratios[-1]:.2f}"])
    table[0][0] = f"{case.name}: {table[0][0]}"
    report.tables.append(table)
    return ratios


def costs(
    report: Report, case: str, path: Path | None, seconds: float, gigabytes: float = np.inf, *, cores: int = 1
) -> str:
    """Seconds and memory in a fresh process; returns the digest of the dose it planned."""
    found = measure(case, path, cores)
    name = " ".join([case, *([path.name] if path else [])])
    report.add(
        f"{name}: one plan, cores: {cores}, iterations: {found['iterations']}", found["seconds"], "s", high=seconds
    )
    report.add(f"{name}: processor time of that", found["cpu_seconds"], "s")
    report.add(f"{name}: largest memory of the process, reading included", found["peak_gb"], "GB", high=gigabytes)
    return found["dose_sha256"]


def clinical(report: Report, case: Case, ours: Plan) -> None:
    """Table: levels and organs of a patient who has a clinical dose too."""
    assert case.clinical_gy is not None
    table = [[f"{case.name}, Gy", "clinical", "planned"]]
    for gy in np.unique(case.target_gy[case.target]):
        region = case.target_gy == gy
        volume = np.count_nonzero(region) * np.prod(SPACING_MM) / 1000
        for name, volume_percent in (("D95", 95), ("D2", 2)):
            values = [np.percentile(dose[region], 100 - volume_percent) for dose in (case.clinical_gy, ours.dose_gy)]
            table.append([f"{name} of {gy:g} Gy ({volume:.0f} cc)", *(f"{value:.1f}" for value in values)])
    for label, name in case.organ_names.items():
        region = case.oars == label
        if region.any():
            table.append([f"mean {name}", *(f"{dose[region].mean():.1f}" for dose in (case.clinical_gy, ours.dose_gy))])
    report.tables.append(table)


def picture(path: Path, case: Case, doses: dict[str, np.ndarray], others: dict[str, np.ndarray] | None = None) -> None:
    """The slice through the largest section of the target; `doses`: reference, then evaluated; `others`: more masks."""
    z = int(np.argmax(case.target.sum(axis=(1, 2))))
    targets = {"target": case.target[z], **{name: mask[z] for name, mask in (others or {}).items()}}
    organs = {name: case.oars[z] == label for label, name in case.organ_names.items()}
    (reference, reference_gy), (evaluated, evaluated_gy) = doses.items()
    dose_comparison(
        path,
        case.ct_hu[z],
        Contours(targets, organs),
        reference_gy[z],
        evaluated_gy[z],
        float(case.target_gy.max()),
        SPACING_MM[1:],
        title=f"{case.name}, slice {z}: fluence optimisation, not a deliverable plan",
        reference_title=reference,
        evaluated_title=evaluated,
    )


def synthetic_head(report: Report, pydosert: bool) -> None:
    case = head_case()
    bare = case.without_organs()
    reference, spared = planned(bare), planned(case)
    floor = convergence(report, bare, reference)
    quality(report, case, reference, spared)
    mask_errors(report, bare, reference, floor)
    digest = costs(report, "synthetic", None, seconds=10, gigabytes=1)
    same = digest == hashlib.sha256(spared.dose_gy.tobytes()).hexdigest()
    report.add("its dose is bit-identical with this process's (1: yes)", same, "", low=1)
    if pydosert:
        engines(report, bare, reference)


def real_head(report: Report, path: Path, pydosert: bool, pictures: Path | None) -> None:
    case = head_ct(path)
    reference = planned(case)
    body = find_body(case.ct_hu, SPACING_MM)
    report.add(f"{case.name}: D95", np.percentile(reference.dose_gy[case.target], 5), "Gy", low=57)
    report.add(f"{case.name}: D2", np.percentile(reference.dose_gy[case.target], 98), "Gy", high=64.2)
    report.add(f"{case.name}: tissue taken for couch or frame", body.ignored_cc, "cc")
    report.add(f"{case.name}: highest dose outside the body", reference.dose_gy[~body.mask].max(), "Gy", high=0)
    costs(report, "head_ct", path, seconds=10, gigabytes=1)
    theirs = engines(report, case, reference) if pydosert else None
    if pictures:
        wrong = with_island(case)
        evaluated = planned(case.with_target(wrong), reference)
        doses = {"Plan on the target": reference.dose_gy, "Plan on target and island": evaluated.dose_gy}
        picture(pictures / "head_island.png", case, doses, {"with island": wrong})
        if theirs:
            doses = {"Same fluence, PyDoseRT": theirs.dose_gy, "Built-in engine": reference.dose_gy}
            picture(pictures / "head_engines.png", case, doses)


def head_and_neck(report: Report, folder: Path, pictures: Path | None) -> None:
    case = openkbp_patient(folder)
    report.add(f"{case.name}: targets", np.count_nonzero(case.target) * np.prod(SPACING_MM) / 1000, "cc")
    left_out = case.target & ~find_body(case.ct_hu, SPACING_MM).mask
    share = 100 * np.count_nonzero(left_out) / np.count_nonzero(case.target)
    report.add(f"{case.name}: targets outside the body that the planner finds", share, "%")
    costs(report, "openkbp", folder, seconds=60, cores=2)
    ours, longer = planned(case), planned(case, iterations=4 * fluence.ITERATIONS)
    name = f"{case.name}: RMAE, default ({ours.iterations} iterations) and four times as many ({longer.iterations})"
    report.add(name, percent(case, longer, ours), "%", high=0.2)
    clinical(report, case, ours)
    if pictures and case.clinical_gy is not None:
        picture(pictures / f"{folder.name}.png", case, {"Clinical": case.clinical_gy, "Open planner": ours.dose_gy})


def main(
    head_ct: Path | None = None,
    openkbp_csv: list[Path] | None = None,
    pictures: Path | None = None,
    append: Path | None = None,
    pydosert: bool = True,
) -> None:
    """Plan the synthetic head; a real head CT and OpenKBP patients (CSV folders of one patient each) if given.

    Tables are printed, and appended to a file if one is named; pictures of real patients go to a folder.
    """
    start, report = time.monotonic(), Report()
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    synthetic_head(report, pydosert)
    if head_ct:
        real_head(report, head_ct, pydosert, pictures)
    for folder in openkbp_csv or []:
        head_and_neck(report, folder, pictures)
    result = {
        "command": " ".join(["python", *sys.argv]),
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        "data": f"{TARGET_MM:g} mm target, {RX_GY:g} Gy, voxels of {SPACING_MM[0]:g} mm",
        "seconds": round(time.monotonic() - start, 1),
        "checks": [check.as_json() for check in report.checks],
        "tables": report.tables,
    }
    print(json.dumps(result, indent=1))
    text = report.markdown() + (f"\n\n{KERNELS}" if pydosert else "") + "\n"
    print(text)
    if append:
        with append.open("a") as file:
            file.write(f"\n{text}")


if __name__ == "__main__":
    typer.run(main)
