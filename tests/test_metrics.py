import pickle

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics import Metric, MetricCollection

from lightning_badge.exceptions import BadgeError
from lightning_badge.metrics import (
    AreaUnderLearningCurve,
    LabelsToReach,
    QueryComposition,
    area_under_learning_curve,
    class_histogram,
    labels_to_reach,
    normalized_entropy,
)

mpl.use("agg")

points = st.lists(
    st.tuples(st.integers(1, 500), st.floats(0, 1)),
    min_size=1,
    max_size=12,
    unique_by=lambda p: p[0],
)


def tensors(curve: list[tuple[int, float]]) -> tuple[torch.Tensor, torch.Tensor]:
    labels, values = zip(*curve, strict=True)
    return torch.tensor(labels), torch.tensor(values, dtype=torch.float64)


def sorted_arrays(curve: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    labels, values = zip(*sorted(curve), strict=True)
    return np.array(labels, dtype=float), np.array(values)


@given(points)
def test_the_area_is_the_mean_of_the_curve_on_a_fine_grid(curve) -> None:
    labels, values = sorted_arrays(curve)
    middles = labels[0] + (np.arange(20_000) + 0.5) / 20_000 * (labels[-1] - labels[0])
    area = area_under_learning_curve(*tensors(curve)).item()
    assert area == pytest.approx(np.interp(middles, labels, values).mean(), abs=1e-3)


@given(points, st.floats(0, 1))
def test_the_labels_to_reach_a_value_are_the_first_that_do(curve, target) -> None:
    labels, values = sorted_arrays(curve)
    needed = labels_to_reach(*tensors(curve), target).item()
    if values.max() < target:
        assert np.isnan(needed)
        return
    assert np.interp(needed, labels, values) >= target - 1e-9
    before = np.linspace(labels[0], needed, 1000)[:-1]
    if needed > labels[0]:
        assert (np.interp(before, labels, values) <= target + 1e-9).all()


def test_points_at_equal_labels_are_averaged_and_nan_is_ignored() -> None:
    labels = torch.tensor([10, 10, 20, 30])
    values = torch.tensor([0.2, 0.4, torch.nan, 0.5])
    assert area_under_learning_curve(labels, values).item() == pytest.approx(0.4)
    assert labels_to_reach(labels, values, 0.4).item() == pytest.approx(20.0)


def test_empty_curves_and_unequal_lengths_are_refused() -> None:
    for labels, values in (([], []), ([1, 2], [0.5])):
        with pytest.raises(BadgeError, match="one value for each number of labels"):
            area_under_learning_curve(torch.tensor(labels), torch.tensor(values))


def test_entropy_is_one_for_equal_counts_and_zero_for_one_class() -> None:
    assert normalized_entropy(torch.tensor([3, 3, 3])).item() == pytest.approx(1.0)
    assert normalized_entropy(torch.tensor([3, 0, 0])).item() == 0.0
    assert normalized_entropy(torch.tensor([3])).item() == 0.0
    assert normalized_entropy(torch.tensor([0, 0])).isnan()
    half = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(2)
    assert normalized_entropy(torch.tensor([1, 3])).item() == pytest.approx(half)


@pytest.mark.parametrize("targets", [[3], [-1], [0.5]])
def test_targets_must_be_class_indices(targets: list) -> None:
    with pytest.raises(BadgeError, match="integers from 0 to 2"):
        class_histogram(torch.tensor(targets), 3)


def filled() -> dict[str, Metric]:
    area, needed, composition = AreaUnderLearningCurve(), LabelsToReach(0.6), QueryComposition(3)
    for metric in (area, needed):
        metric.update(10, 0.5)
        metric.update(torch.tensor([20, 30]), torch.tensor([0.6, 0.7], dtype=torch.float64))
    composition.update(torch.tensor([0, 2, 2]))
    return {"area": area, "needed": needed, "composition": composition}


@pytest.mark.parametrize("name", ["area", "needed", "composition"])
class TestEveryMetric:
    def test_copies_keep_the_state_and_reset_clears_it(self, name: str) -> None:
        metric = filled()[name]
        copied = pickle.loads(pickle.dumps(metric))
        assert repr(copied.compute()) == repr(metric.compute())
        metric.reset()
        fresh = filled()[name]
        fresh.reset()
        assert metric.metric_state.keys() == fresh.metric_state.keys()
        assert not metric.update_called

    def test_plots_like_a_torchmetrics_metric(self, name: str) -> None:
        from matplotlib import pyplot

        metric = filled()[name]
        figure, axes = metric.plot()
        assert figure is axes.get_figure()
        assert axes.get_title() or axes.get_ylabel()
        nothing, same = metric.plot(metric.compute(), ax=axes)
        assert (nothing, same) == (None, axes)
        pyplot.close(figure)


def test_values_equal_the_functions() -> None:
    metrics = filled()
    assert metrics["area"].compute().item() == pytest.approx(0.6)
    assert metrics["needed"].compute().item() == 20.0
    assert metrics["composition"].compute()["histogram"].tolist() == [1, 0, 2]


def test_metrics_work_in_a_collection() -> None:
    collection = MetricCollection([AreaUnderLearningCurve(), LabelsToReach(0.5)])
    collection.update(torch.tensor([10.0, 20.0]), torch.tensor([0.4, 0.6]))
    values = collection.compute()
    assert values["AreaUnderLearningCurve"].item() == pytest.approx(0.5)
    assert values["LabelsToReach"].item() == pytest.approx(15.0)


def in_two_processes(kind: type[Metric], there: Metric, *arguments: object) -> Metric:
    """Returns a metric that gathers the states of ``there``, as from another process."""
    states = iter(
        [torch.cat(state) if isinstance(state, list) else state]
        for state in there.metric_state.values()
    )
    return kind(
        *arguments,
        dist_sync_fn=lambda own, group: [own, *next(states)],
        distributed_available_fn=lambda: True,
    )


@pytest.mark.parametrize("parts", [([10.0, 20.0], [30.0]), ([10.0, 20.0, 30.0],) * 2])
def test_points_of_several_processes_form_one_curve(parts) -> None:
    there = AreaUnderLearningCurve()
    here = in_two_processes(AreaUnderLearningCurve, there)
    for metric, labels in zip((there, here), parts, strict=True):
        metric.update(labels, [0.4 + label / 100 for label in labels])
    assert here.compute().item() == pytest.approx(0.6)


def test_the_histograms_of_several_processes_are_added() -> None:
    there = QueryComposition(3)
    here = in_two_processes(QueryComposition, there, 3)
    here.update(torch.tensor([0, 2]))
    there.update(torch.tensor([1, 2]))
    assert here.compute()["histogram"].tolist() == [1, 1, 2]
