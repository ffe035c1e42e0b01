"""Cells and tables of the quality benchmark, without training."""

import json
import re

import pytest

from benchmarks import quality_tables, results_file
from benchmarks.quality import ABLATIONS, PAIR_EPOCHS, Cell, _changes, all_pairs
from ganad_tf.errors import DataError


def test_a_cell_asks_for_the_run_that_its_name_says():
    config = Cell("few60", 9, "ganad", 3).config()
    assert (config.protocol, config.anomalies, config.normal, config.seed) == ("few", 60, "9", 3)
    assert Cell("unseen", 9, "ganad", 0).config().known == "0"
    assert not Cell("none", 1, "cnn", 0).possible()
    assert Cell("none", 1, "knn", 0).possible()
    assert not Cell("seen", 1, "knn", 0).possible()


def test_all_pairs_label_each_other_class_in_turn():
    none = Cell("none", 3, "ganad", 0)
    pairs = all_pairs([none, Cell("unseen1", 3, "ganad", 0), Cell("unseen1", 7, "ganad", 0)])
    assert pairs.pop(0) == none
    # Whoever stops early has seen every normal class.
    assert [(pair.normal, pair.known) for pair in pairs[:4]] == [(3, 4), (7, 8), (3, 5), (7, 9)]
    assert sorted(pair.known for pair in pairs if pair.normal == 3) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    config = pairs[0].config()
    assert (config.known, config.known_share, config.epochs) == ("4", 0.01, PAIR_EPOCHS)
    assert pairs[0].name == "pairs/unseen1-3-4-ganad-seed0"


def test_an_ablation_leaves_out_one_loss_and_the_abc_autoencoder_all_but_two():
    assert _changes("ganad") == []
    assert "without-patch" in ABLATIONS
    assert _changes("without-patch") == ["--loss-weight", "patch=0"]
    weights = [part for part in _changes("abc") if part.endswith("=0")]
    assert "normal_adversarial=0" in weights
    assert not {"abc=0", "normal_reconstruction=0"} & set(weights)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(quality_tables, "RESULTS", tmp_path)
    monkeypatch.setattr(quality_tables, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(quality_tables, "PLOTS", tmp_path / "plots")
    (tmp_path / "quality").mkdir()
    return tmp_path


def keep(folder, method, normal, seed, auroc, protocol="none"):
    cell = {"protocol": protocol, "method": method, "normal": normal, "auroc": auroc}
    cell |= {"seed": seed, "seconds": 90.0, "training_seconds": 60.0, "config": {"epochs": 10}}
    (folder / "quality" / f"{protocol}-{method}-{normal}-{seed}.json").write_text(json.dumps(cell))


def test_the_page_holds_means_of_whole_rows_only(kept):
    for normal in range(10):
        keep(kept, "ganad", normal, 0, 0.9 + normal / 100)
    keep(kept, "knn", 6, 0, 0.8)
    keep(kept, "knn", 6, 1, 0.82)
    quality_tables.write()
    page = (kept / "page.md").read_text()
    assert "0.9900 | 0.9450 |" in page
    knn = next(line for line in page.splitlines() if line.startswith("| knn"))
    assert knn.endswith("| 0.8000 |  |  |  |  |")
    assert "| none | knn | 6 | 2 | 0.8100 ± 0.0141 |" in page
    assert (kept / "plots" / "none.png").stat().st_size > 1000


def keep_pair(folder, method, normal, known, auroc):
    (folder / "pairs").mkdir(exist_ok=True)
    path = folder / "pairs" / f"unseen-{normal}-{known}-{method}-seed0.json"
    path.write_text(json.dumps({"normal": normal, "pair": known, "auroc": auroc}))


def test_all_pairs_are_compared_on_the_same_pairs(kept):
    for normal in range(10):
        keep(kept, "knn", normal, 0, 0.5 + normal / 100)
    keep_pair(kept, "ganad", 0, 1, 0.95)
    keep_pair(kept, "ganad", 0, 2, 0.93)
    keep_pair(kept, "cnn", 0, 2, 0.75)
    quality_tables.write()
    page = (kept / "page.md").read_text()
    assert "| 5% | ganad | 2 of 90 | 0.9400 | 0.0141 |  | 0.9300 (1) | Deep SAD" in page
    assert "| 5% | cnn | 1 of 90 | 0.7500 |  |  | 0.7500 (1) | Deep SAD" in page
    # Neighbours ignore labels: each normal class counts nine times. Settings were chosen on classes
    # 0, 6 and 7, so a column leaves them out.
    assert re.search(r"\| 5% \| knn \| labels ignored \| 0.5450 \| 0.\d+ \| 0.5457 \|", page)
    assert "| 0.5000 (1) |" in page


def test_shorter_training_is_compared_on_the_pairs_that_have_both(kept):
    for normal, auroc in ((0, 0.94), (1, 0.90)):
        keep(kept, "ganad", normal, 0, auroc, protocol="unseen")
    keep_pair(kept, "ganad", 0, 1, 0.95)
    keep_pair(kept, "ganad", 0, 2, 0.10)  # was run once only
    keep_pair(kept, "ganad", 1, 2, 0.88)
    quality_tables.write()
    line = "| 5% | ganad | 2 | 0.9150 | 0.9200 | 0.0200 (class 1) |"
    assert line in (kept / "page.md").read_text()


def test_pages_say_what_mixtures_and_ablations_are_and_where_the_default_is_not_the_best(kept):
    keep(kept, "without-nothing", 6, 0, 0.96, protocol="seen")
    keep(kept, "without-patch", 6, 0, 0.95, protocol="seen")
    keep(kept, "mix-half", 6, 0, 0.95, protocol="few600")
    keep(kept, "mix-known", 6, 0, 0.94, protocol="few600")
    quality_tables.write()
    page = (kept / "page.md").read_text()
    for line in ("all losses | 0.9600", "without `patch` | 0.9500", "`--synthetic 0.5` | 0.9500"):
        assert f"| {line} | " in page
    assert "but under `few600`: half synthetic anomalies had 0.9500 on class 6, none had" in page
    keep(kept, "mix-known", 6, 0, 0.96, protocol="few600")
    quality_tables.write()
    assert "The best became the defaults. The" in (kept / "page.md").read_text()


def test_lines_of_untouched_classes_leave_out_all_that_led_to_a_rule(kept):
    for normal in range(10):
        for protocol in ("seen", "unseen", "none"):
            keep(kept, "ganad", normal, 0, 0.9, protocol)
    lines = quality_tables.summary_table(quality_tables.load_cells()).splitlines()
    untouched = [line.split(" | ")[2] for line in lines[2:] if "all ten" not in line]
    assert untouched == ["2, 3, 4, 5, 8, 9", "1, 2, 3, 4, 5, 8, 9", "1, 2, 3, 4, 8, 9"]


def test_the_summary_marks_the_best_and_compares_on_the_same_classes(kept):
    for normal in (0, 6):
        keep(kept, "ganad", normal, 0, 0.9)
    for normal in range(10):
        keep(kept, "knn", normal, 0, 1.0 if normal in (0, 6) else 0.5)
    line = quality_tables.summary_table(quality_tables.load_cells()).splitlines()[-1]
    assert line.startswith("| `none` | no anomaly | 0, 6 | 0.9000 |  |  | **1.0000** |")


def test_without_cells_there_is_no_page(kept):
    with pytest.raises(DataError, match="expected kept cells"):
        quality_tables.write()
