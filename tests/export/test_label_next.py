"""Which images are named: uncertain ones, unlike those with a label and unlike one another."""

import numpy as np
from PIL import Image

from export.label_next import choose
from export.recalibrate import main


def test_the_most_uncertain_image_comes_first_where_all_are_equally_far():
    probabilities = np.array([0.1, 0.5, 0.9])
    features = np.eye(3)
    assert choose(probabilities, features, np.zeros((1, 3)), 1) == [1]


def test_copies_of_a_chosen_or_labelled_image_are_not_named():
    features = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 0.1], [0.0, 2.0]])
    chosen = choose(np.full(4, 0.5), features, np.zeros((1, 2)), 3)
    assert chosen == [2, 3, 1]
    assert choose(np.full(4, 0.5), features, features, 3) == []
    assert choose(np.array([0.0, 1.0]), np.eye(2), np.zeros((1, 2)), 3) == []


def test_the_command_names_images_without_a_label(model_path, images, tmp_path, capsys):
    lines = ["path,label"]
    for number, image in enumerate(images[:16]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'normal' if number == 0 else ''}")
    (tmp_path / "broken.png").write_bytes(b"no image")
    lines += ["broken.png,", "not-there.png,"]
    (tmp_path / "c.csv").write_text("\n".join(lines))
    arguments = ["--corrections", str(tmp_path / "c.csv"), "--output", str(tmp_path / "new.onnx")]
    main([str(model_path), *arguments])
    text = capsys.readouterr().out.splitlines()
    start = text.index(
        "label these next, whose labels would teach most (probability of an anomaly):"
    )
    named = [line.split()[0] for line in text[start + 1 :]]
    assert len(named) == len(set(named)) == 10
    assert set(named) <= {str(tmp_path / f"{number}.png") for number in range(1, 16)}
