"""What a reader of a comparison has to know beside its numbers, one sentence each."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .evaluation_file import CaseResult, Evaluation
from .fold_seed import FoldSeed
from .metrics import BY_KEY, PRIMARY, Metric
from .p_values import SIGNIFICANT, smallest_p_holm
from .paired_tests import PairedComparison

NAMED, FEW_RUNS = 5, 5
RULER_METRIC = "predictor_error_gy"


def remarks_on_comparison(
    loaded: Mapping[str, Mapping[FoldSeed, Evaluation]],
    tests: Mapping[str, Mapping[str, PairedComparison]],
    metrics: Mapping[str, Metric],
    noise_floor: Evaluation | None,
) -> list[str]:
    """In order of weight: how many cases and runs, errors of the ruler, goals, what is missing, versions, planners."""
    evaluations = list(next(iter(loaded.values())).values())
    first, cases = evaluations[0], list({case.case: case for of in evaluations for case in of.cases}.values())
    return [
        *_few_cases(first, len(cases), tests),
        *_few_runs(evaluations),
        *(_floor(noise_floor, tests) if noise_floor else ()),
        *_ruler(cases),
        f"clinical goals: {first.provenance['goals']['from']}",
        *_missing_values(loaded, metrics),
        *_missing_structures(cases),
        *_versions(loaded),
        *_planners(loaded),
    ]


def _few_cases(first: Evaluation, cases: int, tests: Mapping[str, Mapping[str, PairedComparison]]) -> Iterator[str]:
    # "2 of 10 in the split", of one run
    of_split = first.provenance["cases"].partition(" of ")[2]
    if not of_split.startswith(f"{cases} "):
        yield f"{cases} of {of_split} are evaluated"
    families = [[test.cases for test in of_metric.values()] for of_metric in tests.values() if of_metric]
    if families and min(min(smallest_p_holm(family)) for family in families) >= SIGNIFICANT:
        trainers = len(families[0])
        compared, corrected = (f" and {trainers} comparisons", " after Holm's correction") if trainers > 1 else ("", "")
        pairs = max(max(family) for family in families)
        yield f"with {pairs} cases{compared} no test can reach p = {SIGNIFICANT:g}{corrected}, whatever the differences"


def _few_runs(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    of_same_cases = Counter(tuple(sorted(case.case for case in of.cases)) for of in evaluations)
    if 0 < sum(runs - 1 for runs in of_same_cases.values()) < FEW_RUNS:
        yield (
            f"{len(evaluations)} runs tell little of how runs differ: intervals over them are too narrow (simulated, "
            "where runs differ as patients do: 84 % of the 95 % intervals hold the mean with 3 runs, 94 % with 15)"
        )


def _floor(floor: Evaluation, tests: Mapping[str, Mapping[str, PairedComparison]]) -> Iterator[str]:
    values = [case.score(PRIMARY) for case in floor.cases if np.isfinite(case.score(PRIMARY))]
    if not values:
        return
    title = BY_KEY[PRIMARY].title
    yield (
        f"noise floor, the true contours planned a second time: {title} {100 * np.mean(values):.2f} % on average, "
        f"{100 * max(values):.2f} % at most"
    )
    for name, test in tests[PRIMARY].items():
        if 0 < abs(test.mean_difference) <= np.mean(values):
            yield f"{name}: its difference in {title} to the baseline is within the noise floor"


def _ruler(cases: Sequence[CaseResult]) -> Iterator[str]:
    errors = [case.score(RULER_METRIC) for case in cases if np.isfinite(case.score(RULER_METRIC))]
    if errors:
        yield f"the ruler's error: the dose predictor is {np.mean(errors):.2f} Gy off the planned doses on average"


def _versions(loaded: Mapping[str, Mapping[FoldSeed, Evaluation]]) -> Iterator[str]:
    by_package: dict[str, set[str]] = {}
    for runs in loaded.values():
        for evaluation in runs.values():
            for package, version in evaluation.provenance.get("versions", {}).items():
                by_package.setdefault(package, set()).add(version)
    for package, versions in by_package.items():
        if len(versions) > 1:
            yield f"evaluated with several versions of {package}: {', '.join(sorted(versions))}"


def _missing_values(
    loaded: Mapping[str, Mapping[FoldSeed, Evaluation]], metrics: Mapping[str, Metric]
) -> Iterator[str]:
    """Sentences that name the same cases are one."""
    for name, runs in loaded.items():
        tested = Counter(case.case for evaluation in runs.values() for case in evaluation.cases)
        titles: dict[tuple[str, ...], list[str]] = {}
        for key, metric in metrics.items():
            cases = tuple(
                f"{case.case} ({run})" if tested[case.case] > 1 else case.case
                for run, evaluation in runs.items()
                for case in evaluation.cases
                if not np.isfinite(case.score(key))
            )
            if cases:
                titles.setdefault(cases, []).append(metric.title)
        for missing, of in titles.items():
            yield f"{name}: {', '.join(of)} not defined, and left out, in {_some(missing)}"


def _missing_structures(cases: Sequence[CaseResult]) -> Iterator[str]:
    missing: dict[str, list[str]] = {}
    for case in cases:
        for name in _empty(case):
            missing.setdefault(name, []).append(case.case)
    for name, lacking in missing.items():
        yield f"{name}: no voxels in the reference of {_some(lacking)}"


def _empty(case: CaseResult) -> list[str]:
    return [name for name, both in case.structures.items() if np.isnan(both.reference["dmean_gy"])]


def _planners(loaded: Mapping[str, Mapping[FoldSeed, Evaluation]]) -> Iterator[str]:
    for name, runs in loaded.items():
        for run, evaluation in runs.items():
            for case, said in evaluation.provenance.get("planner_remarks", {}).items():
                yield f"{', '.join(filter(None, [name, str(run), case]))}: {'; '.join(said)}"


def _some(cases: Sequence[str]) -> str:
    more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
    return ", ".join(cases[:NAMED]) + more
