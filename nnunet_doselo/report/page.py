"""`doselo report`: one HTML file that needs no other and no network, and everything it tells as JSON beside it."""

import base64
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import json_bytes, json_values, replace_files
from nnunet_doselo.evaluation.pictures import DOSE_SHOWN_FROM, DOSE_TOP
from nnunet_doselo.evaluation.structure_metrics import FIGURES

from .case_pages import CasePages, case_pages
from .chart_pictures import bars_picture, lines_picture
from .charts import bars_for_plotly, lines_for_plotly
from .chosen_cases import chosen_of
from .headline import interval, p_text, signed
from .report_data import REPORT_FORMAT, Report, report_of
from .results_folder import read_results
from .styles import DIFFERENCE_MAP, DOSE_MAP, colour_scale

TEMPLATE = "report.html"
SECTIONS = {
    "headline": "Result",
    "impact-section": "Impact by case",
    "chosen": "Best, median, worst",
    "explorer": "Look at a case",
    "goals": "Clinical goals",
    "islands": "Islands",
    "structures": "Structures",
    "training": "Training",
    "predictor": "Dose predictor",
    "provenance": "Provenance",
    "remarks": "Remarks",
}
DOSE_KINDS = {
    "predicted": "Predicted by a model: not planned, and no better than the model.",
    "open planner": "Open planner: fluence optimisation, no deliverable plan.",
    "files": "Files, as a treatment planning system or another source wrote them.",
}
CASES = 20
VIEWER_BYTES = 8_000_000
"""Volumes and DVHs of all cases. With plotly's 5 MB and the pictures that makes a page of at most 15 MB."""
FEW_ROWS, MOST_ROWS = 30, 300
"""Longer lists are folded up (who wants them in print unfolds them first); of the longest the rest is in the JSON."""


def write_report(folder: Path, output: Path, *, cases: int = CASES) -> Path:
    """Write the report of a folder with a comparison.json, and OUTPUT.json beside it; its path.

    Parameters
    ----------
    folder: that `doselo benchmark` or `doselo evaluate` wrote.
    output: an .html file; both files appear together.
    cases: how many can be looked at in the page.

    Raises
    ------
    DoseloError: no comparison; `output` is no .html file, or would replace files that no report wrote.
    """
    beside = _json_beside(output)
    results = read_results(folder)
    chosen, against = chosen_of(results)
    pages = case_pages(results, chosen, against, cases, VIEWER_BYTES)
    report = report_of(results, pages.shown, pages.remarks)
    html = render(report, pages, beside.name)
    replace_files({output: html.encode(), beside: json_bytes(report, indent=1)})
    return output


def render(report: Report, pages: CasePages, json_name: str) -> str:
    """The page as text, pictures and scripts inside."""
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"embed": _data_url, "p": p_text, "number": _number}
    # names stay in the order of the comparison
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    environment.globals |= {"signed": signed, "interval": interval}
    return environment.get_template(TEMPLATE).render(
        report=report,
        pages=pages,
        pictures=_pictures(report),
        charts=_charts(report),
        explorer=_explorer(report, pages),
        case_data=_case_data(pages),
        sections=[(id, name) for id, name in SECTIONS.items() if report.impact or id != "impact-section"],
        dose_says=_sentence(str(report.dose.get("says", ""))),
        dose_kind=DOSE_KINDS.get(str(report.dose.get("kind")), ""),
        figures=FIGURES,
        few_rows=FEW_ROWS,
        most_rows=MOST_ROWS,
        json_name=json_name,
        css=_own("report.css"),
        script=_own("report.js"),
        plotly=Markup(get_plotlyjs()),  # a script, trusted as the package is
    )


def _pictures(report: Report) -> dict[str, bytes]:
    pictures = {}
    if report.impact:
        pictures["impact"] = bars_picture(report.impact)
    if report.curves:
        pictures["curves"] = lines_picture(report.curves)
    return pictures


def _charts(report: Report) -> dict[str, Any]:
    charts = {}
    if report.impact:
        charts["impact"] = bars_for_plotly(report.impact)
    if report.curves:
        charts["curves"] = lines_for_plotly(report.curves)
    return json_values(charts)


def _explorer(report: Report, pages: CasePages) -> dict[str, Any]:
    """What the scripts need beside the cases."""
    dataset = report.dataset
    labels = {name: list(values) for name, values in dataset.target_labels.items() if name in dataset.target_gy}
    return json_values(
        {
            "structures": report.structure_styles,
            "target_labels": labels,
            "oar_labels": dataset.oars,
            "dose_top_gy": DOSE_TOP * dataset.prescription_gy,
            "dose_from_gy": DOSE_SHOWN_FROM * dataset.prescription_gy,
            "difference_gy": pages.limit_gy,
            "dose_colours": colour_scale(DOSE_MAP),
            "difference_colours": colour_scale(DIFFERENCE_MAP),
        }
    )


def _case_data(pages: CasePages) -> list[dict[str, Any]]:
    """What the scripts need of each case; read when it is chosen."""
    both = zip(pages.viewed, pages.shown, strict=True)
    return [json_values({"images": viewed, "dvh": shown.dvh, "runs": shown.plans}) for viewed, shown in both]


def _json_beside(output: Path) -> Path:
    """OUTPUT.json; raises DoseloError if the output is no page, or if a file of somebody else is at either place."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise DoseloError(f"{output}: the report is a page, name it .html; its numbers go into a .json file beside it")
    beside = output.with_suffix(".json")
    if (output.exists() or beside.exists()) and _format_of(beside) != REPORT_FORMAT:
        raise DoseloError(
            f"{output}, {beside.name}: the report goes here, but what is there was not written by `doselo report`; "
            "name another page with --output"
        )
    return beside


def _format_of(file: Path) -> Any:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("format") if isinstance(content, dict) else None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _own(name: str) -> Markup:
    return Markup(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _data_url(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def _number(value: float | None, digits: int = 1) -> str:
    """An en dash where there is no value."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")
