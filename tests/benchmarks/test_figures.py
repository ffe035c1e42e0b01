"""Pages hold the tables of kept results."""

import shutil

import pytest

from benchmarks import figures, own_images_tables, pair_tables, quality_tables, readme_tables
from benchmarks.readme_tables import Figure, _quoted, _row
from benchmarks.results_file import all_kept, kept
from ganad_tf.errors import DataError, UsageError
from ganad_tf.settings.names import TRAINED_COMPONENTS


@pytest.fixture
def copy(tmp_path):
    """The pages with tables, copied."""
    for name in figures.PAGES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(figures.ROOT / name, tmp_path / name)
    return tmp_path


def test_pages_hold_what_the_kept_results_say(copy):
    figures.write(copy)
    for name in figures.PAGES:
        assert (copy / name).read_text() == (figures.ROOT / name).read_text(), (
            f"{name}: expected the tables of `python -m benchmarks.figures write`"
        )


def test_the_page_on_fashion_mnist_holds_what_the_kept_results_say(tmp_path, monkeypatch):
    page = quality_tables.PAGE
    monkeypatch.setattr(quality_tables, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(quality_tables, "PLOTS", tmp_path / "plots")
    quality_tables.write()
    assert (tmp_path / "page.md").read_text() == page.read_text(), (
        "expected what `python -m benchmarks.quality_tables` writes"
    )


def test_splits_that_settings_were_chosen_on_are_not_reported(monkeypatch):
    cells = [
        {"setting": "ten", "method": "ours", "split": split, "auroc": auroc}
        for split, auroc in ((0, 0.9), (1, 0.92), (10, 1.0), (11, 1.0))
    ]
    monkeypatch.setattr(own_images_tables, "all_kept", lambda pattern: cells)
    assert own_images_tables.elpv_aurocs() == {("ten", "ours"): [0.9, 0.92]}
    assert readme_tables._solar()["ten", "ours"].text == "0.910 (2 splits)"


def test_a_command_of_the_readme_is_that_of_its_figure():
    files = kept("own/fashion-folder")
    assert " --score classifier" in readme_tables._command(files)
    files["flags"].remove("--encoder")
    with pytest.raises(DataError, match="run the cell again"):
        readme_tables._command(files)


def test_a_page_without_markers_changes_none(copy):
    page = copy / "docs" / "devices.md"
    page.write_text("# Devices\n")
    readme = (copy / "README.md").read_text().replace("| Fashion-MNIST |", "| changed |")
    (copy / "README.md").write_text(readme)
    with pytest.raises(UsageError, match=r"docs/devices.md must hold the markers .*'precision'"):
        figures.write(copy)
    assert (copy / "README.md").read_text() == readme


def test_nothing_is_bold_where_ours_alone_has_pretrained_weights():
    ours, baseline = Figure(0.95, "0.9500", has_more=True), Figure(0.9, "0.9000", "CNN")
    assert _row("a", "b", ours, [baseline], []) == "| a | b | 0.9500 | 0.9000 CNN |  |"


def test_the_generator_has_no_part_in_the_scores_of_solar_cells():
    """README and docs/benchmarks.md say so."""
    cells = all_kept("elpv/*-ours")
    assert len(cells) == 15
    assert not any(set(cell["components"]) & set(TRAINED_COMPONENTS) for cell in cells)


def test_the_best_of_a_line_is_bold_whoever_has_it():
    ours, baseline = Figure(0.95, "0.9500"), Figure(0.9, "0.9000", "CNN")
    published = _quoted("Kim et al. 2020: 0.986, ESAD 0.956")
    assert _row("a", "b", ours, [baseline], published) == (
        "| a | b | 0.9500 | 0.9000 CNN | **0.986** Kim et al. 2020 |"
    )
    assert _row("a", "b", ours, [baseline], []) == "| a | b | **0.9500** | 0.9000 CNN |  |"
    assert _row("a", "b", ours, [], []) == "| a | b | 0.9500 |  |  |"
    assert _row("a", "b", None, [], []) == "| a | b | not measured yet |  |  |"


def test_a_line_is_over_all_pairs_once_they_were_run(monkeypatch):
    pairs = {(normal, known): 0.95 for normal in range(10) for known in range(10)}
    run = {"ganad": {pair: value for pair, value in pairs.items() if pair[0] != pair[1]}}
    monkeypatch.setattr(pair_tables, "_pairs", lambda protocol, method: run.get(method, {}))
    lines = [line for line in readme_tables.results_table().splitlines() if "`unseen`" in line]
    assert ["90 pairs" in line for line in lines] == [True, False]
    # Neighbours ignore labels; the CNN has no mean over all pairs here.
    assert "each of the nine others in turn" in lines[0]
    assert "| 0.9500 | 0.9236 3 nearest neighbours on pixels |" in lines[0]
