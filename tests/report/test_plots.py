import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ganad_tf
from ganad_tf.report import plots

IS_ANOMALY = np.arange(60) >= 20
SCORES = np.random.default_rng(0).normal(size=60) + 2 * IS_ANOMALY


def texts(figure):
    figure.draw_without_rendering()
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return [artist.get_text() for artist in found if artist.get_visible()]


def vertical_lines(axes):
    return [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1]


def test_the_roc_legend_gives_each_models_auroc_in_the_order_given():
    figure = plots.roc_curves(
        {"ours": (IS_ANOMALY, IS_ANOMALY * 1.0), "useless": (IS_ANOMALY, np.zeros(60))}
    )
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["1.0000  ours", "0.5000  useless"]


def test_roc_curves_run_from_no_alarms_to_all_alarms():
    figure = plots.roc_curves({"ours": (IS_ANOMALY, SCORES)})
    x, y = figure.axes[0].lines[-1].get_data()
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize("threshold", [-9.0, 0.7, 42.0])
def test_the_threshold_line_stands_at_the_threshold_and_in_sight(threshold):
    axes = plots.score_histogram(SCORES, IS_ANOMALY, threshold).axes[0]
    assert vertical_lines(axes) == [threshold]
    low, high = axes.get_xlim()
    assert low <= threshold <= high


def test_no_histogram_bar_straddles_the_threshold():
    axes = plots.score_histogram(SCORES, IS_ANOMALY, 0.7).axes[0]
    edges = np.array([patch.get_x() for patch in axes.patches])
    assert np.min(np.abs(edges - 0.7)) < 1e-9


def test_histogram_bars_of_each_group_add_up_to_one_outliers_included():
    scores = SCORES.copy()
    scores[-1] = 1e6
    axes = plots.score_histogram(scores, IS_ANOMALY, 0.7).axes[0]
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers]
    assert heights == pytest.approx([1, 1])
    assert "last bar holds all higher ones" in axes.get_xlabel()


@pytest.mark.parametrize("threshold", [5.2, 6.7, 9.5])  # here the first edge is rounded up
def test_the_lowest_score_is_in_the_histogram(threshold):
    axes = plots.score_histogram(SCORES, IS_ANOMALY, threshold).axes[0]
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers]
    assert heights == pytest.approx([1, 1])


def test_equal_scores_still_make_a_histogram():
    figure = plots.score_histogram(np.ones(60), IS_ANOMALY, 1.0)
    figure.draw_without_rendering()
    heights = [sum(bar.get_height() for bar in bars) for bars in figure.axes[0].containers]
    assert heights == pytest.approx([1, 1])


def test_confusion_matrices_show_every_count_of_every_model():
    cells = {"tn": 901, "fp": 99, "fn": 1234, "tp": 7766}
    figure = plots.confusion_matrices({f"model {i}": cells for i in range(5)})
    shown = texts(figure)
    for text in ("901", "99", "1,234", "7,766", "9.9%"):
        assert shown.count(text) == 5


def test_training_curves_draw_each_named_loss_and_mark_the_best_epoch():
    history = [{"epoch": e, "patch": 1 / e, "val_auroc": 1 - 0.1 / e} for e in (1, 2, 3)]
    groups = {"Generator": {"patch": "patch"}, "Validation": {"val_auroc": "AUROC"}}
    panels = plots.training_curves(history, groups, best_epoch=3).axes
    assert [axes.get_title(loc="left") for axes in panels[:2]] == [
        "Generator: patch",
        "Validation: AUROC",
    ]
    assert panels[0].lines[0].get_ydata() == pytest.approx([1, 1 / 2, 1 / 3])
    assert [vertical_lines(axes) for axes in panels[:2]] == [[3], [3]]


def test_training_curves_leave_a_gap_where_a_value_is_missing_or_infinite():
    history = [{"patch": 1.0}, {}, {"patch": None}, {"patch": float("inf")}, {"patch": 2.0}]
    panel = plots.training_curves(history, {"Generator": {"patch": "patch"}}).axes[0]
    assert list(np.isnan(panel.lines[0].get_ydata())) == [False, True, True, True, False]


def test_kinds_are_ordered_hardest_on_top():
    axes = plots.kind_aurocs({"easy": 1.0, "hard": 0.4, "medium": 0.9}, overall=0.9).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["easy", "medium", "hard"]
    assert vertical_lines(axes) == [0.9]
    assert axes.get_xlim()[0] < 0.4


def test_names_with_dollars_and_underscores_are_drawn_as_they_are():
    name = "_a$\\frac{$"
    figures = (
        plots.roc_curves({name: (IS_ANOMALY, SCORES)}),
        plots.confusion_matrices({name: {"tn": 1, "fp": 0, "fn": 0, "tp": 1}}),
        plots.kind_aurocs({name: 0.9}, 0.9),
    )
    for figure in figures:
        assert any(plots.plain(name) in text for text in texts(figure))


def test_pages_and_plots_need_neither_pyplot_nor_tensorflow():
    code = (
        "import sys, ganad_tf.report.image_plots, ganad_tf.report.page\n"
        "print({'matplotlib.pyplot', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    root = Path(ganad_tf.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert run.stdout.strip() == "set()", run.stderr
