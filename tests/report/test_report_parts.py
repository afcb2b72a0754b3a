"""The parts of the report, each by itself."""

import base64
import gzip
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from nnunet_doselo.evaluation.comparison import NoiseFloor, Summary
from nnunet_doselo.evaluation.intervals import RUNS_AND_PATIENTS, Interval
from nnunet_doselo.evaluation.metrics import BY_KEY
from nnunet_doselo.evaluation.paired_tests import PairedComparison
from nnunet_doselo.report.case_images import Background, CaseImages, Contoured
from nnunet_doselo.report.charts import (
    BarChart,
    BarSeries,
    ChartLine,
    LinePanel,
    bars_for_plotly,
    lines_for_plotly,
    mean_over_epochs,
)
from nnunet_doselo.report.chosen_cases import ChosenCase, best_other, cases_to_show, choose_cases
from nnunet_doselo.report.headline import Cell, MetricRows, in_words, p_text, signed
from nnunet_doselo.report.notices import notices_of
from nnunet_doselo.report.panel import difference_limit_gy
from nnunet_doselo.report.provenance import provenance_rows, rows_of
from nnunet_doselo.report.styles import structure_styles, trainer_style
from nnunet_doselo.report.viewer import PackedVolume, ViewedCase, bytes_in_page, pack_labels, pack_values, view_case

NAN = float("nan")


@pytest.mark.parametrize(
    ("trained", "noticed"),
    [((1000, 250), False), ((100, 125), False), ((100, 124), True), ((20, None), False)],
    ids=["nnU-Net's own", "a twentieth", "less than a twentieth", "unknown"],
)
def test_a_training_far_shorter_than_nnunets_is_noticed(trained: tuple[int, int | None], noticed: bool) -> None:
    lengths = [{"epochs": 1000, "iterations": 250}, {"epochs": trained[0], "iterations": trained[1]}]
    assert bool(notices_of({"nnunets_length": lengths[0], "trainings": lengths})) == noticed


def test_nothing_is_noticed_without_a_benchmark_or_in_an_older_ones() -> None:
    assert notices_of(None) == []
    assert notices_of({"synthetic": False, "trainings": [{"epochs": 1, "iterations": 2}]}) == []


def test_cases_are_chosen_by_difference() -> None:
    baseline = {"a": 0.5, "b": 0.25, "c": 0.5, "d": NAN, "e": 0.25}
    other = {"a": 0.25, "b": 0.5, "c": 0.5, "d": 0.1, "e": NAN}
    assert choose_cases(baseline, other) == [
        ChosenCase("a", ("best",), -0.25),
        ChosenCase("c", ("median",), 0.0),
        ChosenCase("b", ("worst",), 0.25),
    ]


def test_one_case_is_best_median_and_worst_and_none_is_none() -> None:
    assert choose_cases({"a": 0.5}, {"a": 0.25}) == [ChosenCase("a", ("best", "median", "worst"), -0.25)]
    assert choose_cases({"a": NAN}, {"a": 0.25}) == []
    assert choose_cases({}, None) == []


def test_without_another_trainer_the_baselines_own_values_choose() -> None:
    chosen = choose_cases({"a": 0.5, "b": 0.125, "c": 0.25}, None)
    assert [(one.case, one.roles) for one in chosen] == [("b", ("best",)), ("c", ("median",)), ("a", ("worst",))]
    assert {one.difference for one in chosen} == {None}


def test_the_other_trainer_is_the_one_with_the_lowest_mean() -> None:
    assert best_other({"base": 0.1, "a": 0.3, "b": 0.2, "c": NAN}, "base") == "b"
    assert best_other({"base": 0.1, "c": NAN}, "base") is None


def test_chosen_cases_are_always_shown_and_the_rest_by_impact() -> None:
    chosen = [ChosenCase("d", ("best",), 1.0), ChosenCase("b", ("worst",), 0.0)]
    assert cases_to_show(["a", "b", "c", "d", "e"], chosen, 3) == ["a", "b", "d"]
    assert cases_to_show(["a", "b", "c", "d", "e"], chosen, 1) == ["b", "d"]


def unpacked(volume: PackedVolume) -> np.ndarray:
    """As the page does it."""
    values = np.frombuffer(gzip.decompress(base64.b64decode(volume.data)), np.uint8)
    return volume.low + volume.step * values.reshape(volume.shape)


def test_labels_come_back_as_they_were() -> None:
    labels = np.arange(24, dtype=np.int16).reshape(2, 3, 4) * 10
    np.testing.assert_array_equal(unpacked(pack_labels(labels)), labels)


def test_values_come_back_to_half_a_step_and_are_cut_off_at_the_ends() -> None:
    values = np.array([[[-5.0, 0.0, 30.1, 60.0, 70.0, NAN]]])
    back = unpacked(pack_values(values, 0.0, 60.0, levels=60))
    np.testing.assert_array_equal(back, [[[0, 0, 30, 60, 60, 0]]])


def images_of(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> CaseImages:
    """A body that fills the slices, of noise that cannot be made smaller; the target is one voxel in the middle."""
    noise = np.random.default_rng(0).uniform(0, 1, shape)
    labels = np.zeros(shape, np.uint8)
    labels[tuple(n // 2 for n in shape)] = 1
    body = np.ones(shape, bool)
    reference, evaluated = Contoured(labels, 60 * noise), Contoured(labels, 30 * noise)
    background = (Background("CT", noise, 0.0, 1.0),)
    return CaseImages("P", spacing_mm, background, body, 0 * labels, reference, {"A": evaluated}, ())


def steps_of(viewed: ViewedCase, spacing_mm: float) -> tuple[int, float]:
    """Slices, and pixels, from one that is shown to the next."""
    return viewed.slices[1] - viewed.slices[0], viewed.x_mm[1] / spacing_mm


def test_a_case_that_fits_is_shown_whole() -> None:
    viewed = view_case(images_of((6, 10, 12), (3.0, 1.0, 1.0)), 60.0, 1_000_000)
    assert (viewed.reference.dose.shape, viewed.slices, viewed.thinned) == ((6, 10, 12), (0, 1, 2, 3, 4, 5), False)


def test_slices_are_dropped_before_pixels_until_it_fits() -> None:
    images = images_of((24, 40, 40), (2.0, 2.0, 2.0))
    whole = view_case(images, 60.0, 10_000_000)
    half = view_case(images, 60.0, int(0.6 * bytes_in_page(whole)))
    tenth = view_case(images, 60.0, bytes_in_page(whole) // 10)
    assert steps_of(half, 2.0) == (2, 1)
    assert steps_of(tenth, 2.0) in ((3, 2), (4, 2))
    assert bytes_in_page(tenth) <= bytes_in_page(whole) // 10
    assert half.thinned
    # the slice to look at first is kept
    assert half.slices[half.start] == whole.slices[whole.start] == images.slice_to_look_at()


def test_large_images_are_thinned_whatever_the_room() -> None:
    viewed = view_case(images_of((2, 401, 10), (3.0, 1.0, 1.0)), 60.0, 10_000_000)
    assert viewed.reference.dose.shape[1:] == (134, 4)  # every third


def test_the_scale_of_differences_is_shared_and_in_whole_gray() -> None:
    """Differences are uniform from -30 to 0 Gy: 99 % are above -29.7."""
    images = images_of((1, 200, 200), (1.0, 1.0, 1.0))
    assert difference_limit_gy([(images, 0)]) == 30.0
    assert difference_limit_gy([]) == 1.0


def compared(mean: float, p: float, *, better: int = 6, worse: int = 2, equal: int = 0) -> PairedComparison:
    interval, cases = Interval(mean, mean, 0.95, "a point"), better + worse + equal
    return PairedComparison(cases, (), 0, better, worse, equal, mean, mean, interval, 0.5, p, p, "exact")


def words_of(key: str, floor: float | None, **tests: PairedComparison) -> list[str]:
    """Of trainers against the baseline "base", which is called A."""
    summary = Summary(0.2, 0.2, 0.1, NAN, 0.1, 0.3, "BCa", "patients", 3)
    cells = {"A": Cell(summary, None)} | {name: Cell(summary, test) for name, test in tests.items()}
    rows = MetricRows(BY_KEY[key], cells, NoiseFloor(floor, floor, 3) if floor else None)
    return in_words(rows, {"A": "base"} | {name: name for name in tests}, "A")


@pytest.mark.parametrize(
    ("key", "difference", "p", "floor", "verdict"),
    [
        ("union_rmae", -0.02, 0.01, 0.001, "Better."),
        ("union_rmae", 0.02, 0.01, 0.001, "Worse."),
        ("target_dice", 0.02, 0.01, 1.0, "Better."),
        ("union_rmae", -0.02, 0.2, 0.001, "No difference is shown."),
        ("union_rmae", -0.02, NAN, None, "No difference is shown."),
        ("union_rmae", -0.02, 0.01, 0.03, "This is within the noise floor: no difference."),
    ],
)
def test_the_verdict_heeds_direction_test_and_noise(
    key: str, difference: float, p: float, floor: float | None, verdict: str
) -> None:
    (sentence,) = words_of(key, floor, other=compared(difference, p))
    assert sentence.endswith(f"; of 8 cases 6 better, 2 worse. {verdict}")


@pytest.mark.parametrize(
    ("worse", "equal", "verdict"),
    [
        # all signs alike: 2 / 2^4, 2 / 2^5, and six can
        (4, 0, "So few cases cannot show a difference: with 4 that differ, p cannot fall below 0.125."),
        (5, 20, "So few cases cannot show a difference: with 5 that differ, p cannot fall below 0.062."),
        (6, 0, "No difference is shown."),
        (0, 6, "No difference is shown."),
    ],
)
def test_too_few_cases_are_not_taken_for_no_difference(worse: int, equal: int, verdict: str) -> None:
    (sentence,) = words_of("union_rmae", None, other=compared(0.09, 0.5, better=0, worse=worse, equal=equal))
    assert (
        "mean difference +9.0 percentage points [9.0, 9.0] over patients, p = 0.500 with the networks as given; of "
        f"{worse + equal} cases 0 better" in sentence
    )
    assert sentence.endswith(verdict)


def test_trainers_that_are_compared_together_need_more_cases() -> None:
    """Six cases reach 0.03125; of two trainers the better one has to stay below half of 0.05."""
    six = compared(-0.02, 0.0625, better=6, worse=0)
    nothing = compared(NAN, NAN, better=0, worse=0)
    assert words_of("union_rmae", None, B=six, C=six)[0].endswith(
        "with 6 that differ and 2 trainers compared, p cannot fall below 0.062."
    )
    # a trainer without a case is none of the family
    assert words_of("union_rmae", None, B=six, C=nothing)[0].endswith("No difference is shown.")


@pytest.mark.parametrize(
    ("low", "high", "p", "verdict"),
    [
        (-0.03, -0.01, 0.5, "Better."),
        (0.01, 0.03, 0.5, "Worse."),
        (-0.03, 0.01, 0.001, "No difference is shown."),
        (NAN, NAN, 0.001, "No difference is shown."),
    ],
)
def test_over_runs_the_interval_decides_and_not_the_test(low: float, high: float, p: float, verdict: str) -> None:
    """p knows these networks alone. With so few cases that no test can show anything, no interval does."""
    over_runs = Interval(low, high, 0.95, "crossed", RUNS_AND_PATIENTS)
    test = replace(compared((low + high) / 2 if low < high else 0.01, p), interval=over_runs)
    (sentence,) = words_of("union_rmae", None, other=test)
    assert f"over runs and patients, p {p_text(p)[2:]} with the networks as given; of 8 cases" in sentence
    assert sentence.endswith(verdict)
    (sentence,) = words_of("union_rmae", None, other=replace(test, dropped_pairs=4))
    assert sentence.endswith(f"{verdict} Left out: 4 pairs of run and case without a value.")
    (sentence,) = words_of("union_rmae", None, other=replace(test, better=5, worse=0))
    assert sentence.endswith("So few cases cannot show a difference: with 5 that differ, p cannot fall below 0.062.")


def test_a_trainer_without_a_value_is_said_to_have_none() -> None:
    summary = Summary(NAN, NAN, NAN, NAN, NAN, NAN, "none", "patients", 0)
    rows = MetricRows(BY_KEY["union_rmae"], {"B": Cell(summary, compared(NAN, NAN)), "A": Cell(summary, None)}, None)
    assert in_words(rows, {"A": "base", "B": "other"}, "A") == [
        "other against base: no case has a value of union RMAE for both."
    ]


def test_numbers_are_told_with_sign_and_without_false_zeros() -> None:
    metric = BY_KEY["union_rmae"]
    assert [signed(metric, value) for value in (0.0214, -0.0214, -0.0001, NAN)] == ["+2.1", "−2.1", "0.0", "–"]
    assert [p_text(p) for p in (0.0004, 0.03, NAN)] == ["p < 0.001", "p = 0.030", "no test"]


def test_provenance_is_told_whatever_it_holds() -> None:
    content = {
        "seed": 0,
        "note": "",
        "hours": {"training": {"nnUNetTrainer_x": 1.25}, "all": 2.0},
        "trainings": [{"fold": 0, "done": True}, {"fold": 1, "done": False}],
        "planner_remarks": {"P0": ["slow"]},
    }
    assert rows_of(content) == [
        ("seed", "0"),
        ("hours / training", "nnUNetTrainer_x 1.25"),
        ("hours / all", "2"),
        ("trainings 1", "fold 0, done yes"),
        ("trainings 2", "fold 1, done no"),
    ]
    ordered = provenance_rows({"split": "Ts"}, {"versions": {"a": "1"}, "command": "doselo"})
    assert ordered == [("command", "doselo"), ("versions", "a 1"), ("evaluation / split", "Ts")]


def test_curves_are_means_over_runs_where_all_have_a_value() -> None:
    runs = {"0": {"val_loss": [1.0, None, 3.0]}, "1": {"val_loss": [2.0, 2.0]}, "2": {}}
    assert mean_over_epochs(runs, "val_loss") == (1.5, None)
    assert mean_over_epochs({"0": {}}, "val_loss") == ()


def test_plotly_knows_every_property_of_the_charts() -> None:
    """Its Python half refuses what it does not know."""
    bars = BarChart("union RMAE [%]", ("001", "002"), (BarSeries("A", trainer_style(1), (1.0, None)),))
    lines = tuple(ChartLine("A", trainer_style(number), (1, 2), (0.5, None), faint=bool(number)) for number in range(2))
    panels = [LinePanel("Loss", "epoch", "1", lines), LinePanel("Dice", "epoch", "1", lines)]
    drawn = go.Figure(bars_for_plotly(bars))
    assert (drawn.layout.xaxis.type, drawn.layout.yaxis.title.text) == ("category", "union RMAE [%]")
    drawn = go.Figure(lines_for_plotly(panels))
    # one of four lines stands in the legend, and switches them all
    assert [trace.showlegend for trace in drawn.data] == [True, False, False, False]
    assert {trace.legendgroup for trace in drawn.data} == {"A"}


def test_no_two_of_many_look_the_same() -> None:
    assert len({trainer_style(number) for number in range(42)}) == 42
    styles = structure_styles(["GTV"], [f"Organ{number}" for number in range(36)])
    assert len({(style.colour, style.marker) for style in styles}) == 37
