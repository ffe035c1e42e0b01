import base64
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from ganad_tf.evaluation.metrics import evaluate
from ganad_tf.report.page import headlines, in_words, render_report, write_report
from ganad_tf.report.page_data import KindResult, OwnData, ReportData, ReportFigure, Suspect

TRUTH = np.arange(100) >= 50
GOOD = evaluate(np.arange(100), TRUTH, TRUTH.astype(int), ("sneaker", "bag"), threshold=48.5)
POOR = evaluate(np.arange(100) % 50, TRUTH, TRUTH.astype(int), ("sneaker", "bag"), threshold=24.5)


def report(**changes):
    data = ReportData(
        title="Sneaker against the rest",
        summary="A GAN trained on shoes.",
        models={"GAN": GOOD, "random": POOR},
        threshold_rule="best F1 on validation images",
        threshold_changes=[("For one call", "runtime.py --threshold 0.9")],
        scorer="features",
        scorer_why="as asked for",
        scorer_candidates={"reconstruction": 0.9, "features": 0.95},
        counts={"training": {"bag": 4000, "sneaker": 5400}, "test": {"bag": 1000, "sneaker": 900}},
        normal_kinds=["sneaker"],
        command="python train.py --normal 7",
        facts={"Training time": "4 min"},
        config={"width": 16},
        versions={"keras": "3.15.1"},
    )
    return dataclasses.replace(data, **changes)


def own_data(**changes):
    picture = np.zeros((4, 4, 1), np.uint8)
    data = OwnData(
        root="/photos/große Fliesen",
        layout="MVTec",
        kinds=[KindResult("löcher", 2, 8, 3, 0.81234)],
        suspects=[
            Suspect("train/good/1 ✓.png", "train", 1.25, True, picture, picture.repeat(3, -1)),
            Suspect("test/good/2.png", "test", 0.5, False, picture, picture.repeat(3, -1)),
        ],
        duplicates=[[("a.png", "good, train"), ("b.png", "good, unused")]],
        left_out=[("broken.png", "expected an image. Received: other content")],
        notes=["1 of 9 images is grey."],
        n_test_masks=8,
        n_train_masks=18,
    )
    return dataclasses.replace(data, **changes)


def without_pictures(html):
    return re.sub(r'"data:[^"]*"', '""', html)


class Tags(HTMLParser):
    """Collects start tags with their attributes, and complains of unbalanced ones."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_tells_everything_it_was_given():
    html = render_report(report())
    for text in (
        "Sneaker against the rest",
        "A GAN trained on shoes.",
        "best F1 on validation images",
        "runtime.py --threshold 0.9",
        "48.5",
        "as asked for",
        "0.9500",
        "5,400",
        "python train.py --normal 7",
        "4 min",
        "3.15.1",
        f"{POOR['auroc']:.4f}",
    ):
        assert text in html


def test_the_story_of_own_data_is_told():
    html = render_report(report(own=own_data(), outlook="Expected: 5 %. Observed: 4 %."))
    for text in (
        "/photos/große Fliesen",
        "8 anomalous test images have a mask",
        "18 anomalies in training have one",
        "löcher",
        "3 (38%)",
        "0.8123",
        "train/good/1 ✓.png",
        "train, score 1.25",
        "b.png</code> (good, unused)",
        "Received: other content",
        "1 of 9 images is grey.",
        "Expected: 5 %. Observed: 4 %.",
    ):
        assert text in html
    assert html.count("above the threshold</span>") == 1
    assert len([tag for tag, _ in Tags(html).found if tag == "img"]) == 4


def test_other_data_has_no_such_sections():
    html = render_report(report())
    for text in ("missed", "suspicious", "left out", "Equal pictures", "Doubtful"):
        assert text not in html.split("</style>")[1].replace("were missed", "")


def test_long_lists_of_files_are_cut_and_counted():
    html = render_report(
        report(
            own=own_data(
                left_out=[(f"bad {i}.png", "why") for i in range(45)],
                duplicates=[[(f"{i}.png", "x"), (f"{i}.jpg", "x")] for i in range(43)],
            )
        )
    )
    assert "and 5 more<" in html
    assert "and 3 more groups" in html
    assert "bad 40.png" not in html


def test_names_that_are_no_unicode_do_not_stop_the_report(tmp_path):
    own = own_data(left_out=[("caf\udce9.png", "why")])
    write_report(report(own=own), tmp_path / "report.html")
    assert "caf?.png" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_pixel_figures_have_cards_where_masks_are_known():
    cards = headlines({**GOOD, "pixel_auroc": 0.9712, "aupro": 0.8})
    found = {headline.name: headline.value for headline in cards}
    assert (found["Pixel AUROC"], found["AUPRO"]) == ("0.9712", "0.8000")
    without = headlines({**GOOD, "pixel_auroc": None, "aupro": None})
    assert [headline.name for headline in without] == [
        headline.name for headline in headlines(GOOD)
    ]


def test_the_report_loads_nothing_and_without_a_slider_runs_nothing():
    html = render_report(report(figures=[ReportFigure("ROC", "A curve.", Figure())]))
    bare = without_pictures(html)
    assert "http" not in bare
    assert not re.search(r"url\(|@import|<script|<iframe|javascript:| on\w+=", bare)
    for tag, attributes in Tags(html).found:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:", "#")), tag


def test_hostile_names_are_shown_not_obeyed():
    picture = np.zeros((1, 1, 1), np.uint8)
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"
    html = render_report(
        report(
            title=evil,
            summary=evil,
            models={evil: GOOD},
            threshold_rule=evil,
            threshold_changes=[(evil, evil)],
            scorer=evil,
            scorer_why=evil,
            scorer_candidates={evil: 0.5},
            counts={evil: {evil: 1}},
            normal_kinds=[evil],
            command=evil,
            figures=[ReportFigure(evil, evil, Figure(), alt=evil)],
            facts={evil: evil},
            config={evil: evil},
            versions={evil: evil},
            outlook=evil,
            own=OwnData(
                root=evil,
                layout=evil,
                kinds=[KindResult(evil, 1, 1, 1, 0.5)],
                suspects=[Suspect(evil, evil, 1.0, True, picture, picture)],
                duplicates=[[(evil, evil)]],
                left_out=[(evil, evil)],
                notes=[evil],
                n_test_masks=0,
                n_train_masks=0,
            ),
        )
    )
    tags = Tags(html).found
    assert "script" not in [tag for tag, _ in tags]
    images = [a["alt"] for tag, a in tags if tag == "img"]
    assert images == ["the image", "its anomaly map", evil]
    assert "&lt;script&gt;" in html
    assert "{{ 7 * 7 }}" in html


def test_pictures_are_inline_png_with_alternative_texts():
    drawn = [
        ReportFigure("drawn", "", Figure(figsize=(1, 1)), alt="an empty square"),
        ReportFigure("without a text", "", Figure(figsize=(1, 1))),
    ]
    html = render_report(report(figures=drawn))
    images = [attributes for tag, attributes in Tags(html).found if tag == "img"]
    assert [image["alt"] for image in images] == ["an empty square", "without a text"]
    for image in images:
        png = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        assert png.startswith(b"\x89PNG")


def test_equal_data_gives_equal_files(tmp_path):
    for name in ("a.html", "b.html"):
        write_report(report(figures=[ReportFigure("f", "", Figure())]), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_report_that_fails_leaves_the_old_one_alone(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    too_large = Figure(figsize=(1e6, 1e6))
    with pytest.raises(ValueError, match="too large"):
        write_report(report(figures=[ReportFigure("f", "", too_large)]), path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_optional_parts_leave_no_empty_headings():
    optional = ("facts", "config", "versions", "threshold_changes", "scorer_candidates")
    html = render_report(report(models={"GAN": GOOD}, **dict.fromkeys(optional, ())))
    for heading in ("Figures", "Settings", "Versions", "What it took", "Compared", "AUROC on"):
        assert heading not in html


def test_normal_kinds_come_first_and_splits_add_up():
    html = render_report(report())
    data = html[html.index('id="data"') :]
    assert data.index("sneaker") < data.index("bag")
    assert "9,400" in data
    assert "1,900" in data


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.0, "no images"),
        (0.00001, "fewer than 1 of 10,000 images"),
        (0.0004, "about 4 of 10,000 images"),
        (0.004, "about 4 of 1,000 images"),
        (0.0123, "about 1 of 100 images"),
        (0.5, "about 50 of 100 images"),
        (0.9978, "about 998 of 1,000 images"),
        (0.99999, "more than 9,999 of 10,000 images"),
        (1.0, "all images"),
    ],
)
def test_rates_are_told_as_counts_that_never_round_to_none_or_all(rate, words):
    assert in_words(rate, "images") == words


def test_headlines_explain_the_counts_behind_the_rates():
    found = {headline.name: headline for headline in headlines(GOOD)}
    assert found["Anomalies found"].value == "100.0%"
    assert "50 of 50 anomalies" in found["Anomalies found"].meaning
    assert found["False alarms"].value == "2.0%"
    assert "1 of 50 normal images" in found["False alarms"].meaning
    assert "in all cases" in found["AUROC"].meaning
