"""The size that images are brought to follows their own."""

import numpy as np
import pytest

from ganad_tf.data.folder.image_size import natural_size


@pytest.mark.parametrize(
    ("sides", "size"), [((28, 30), 32), ((64, 90), 64), ((100, 400), 128), ((300, 300), 224)]
)
def test_the_shorter_side_rounded_up_to_the_encoders_stride(save, tmp_path, sides, size):
    paths = [save(tmp_path / f"{number}.png", size=sides) for number in range(3)]
    assert natural_size(paths) == size


def test_the_median_decides_and_broken_files_do_not_count(save, tmp_path):
    paths = [save(tmp_path / f"{n}.png", np.zeros((n, n), np.uint8)) for n in (40, 60, 200)]
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert natural_size([*paths, tmp_path / "broken.png"]) == 64
    assert natural_size([tmp_path / "broken.png"]) == 224
