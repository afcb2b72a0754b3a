"""One page for all tests that only read it."""

import pytest
from results_on_disk import add_benchmark, write_results
from written_reports import Written, report_on


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Of a benchmark, all there."""
    folder = write_results(tmp_path_factory.mktemp("results"))
    add_benchmark(folder)
    return report_on(folder)
