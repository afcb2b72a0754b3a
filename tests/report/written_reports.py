"""A report, and the folder that it was made of."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.report.page import write_report


@dataclass(frozen=True)
class Written:
    """html: the page's text. told: what the JSON beside it holds."""

    folder: Path
    page: Path

    @property
    def html(self) -> str:
        return self.page.read_text()

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.page.with_suffix(".json").read_text())


def report_on(folder: Path) -> Written:
    return Written(folder, write_report(folder, folder / "report.html"))
