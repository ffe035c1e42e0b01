"""How fast the site scores in Chromium, beside runtime.py on the same machine and files.

    python -m benchmarks.web

Both take turns, so that a busy machine slows both. The page also computes the map, a thumbnail and
statistics of each image, runtime.py here only score, probability and decision. Speed does not
depend on the weights, so the detectors here are fitted to noise and untrained: one as for
Fashion-MNIST, 32 pixels, and one as for own images of 128 pixels, with its pretrained encoder.
Needs chromium, chromedriver, selenium.
"""

import argparse
import contextlib
import functools
import http.server
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from selenium import webdriver

from benchmarks.results_file import save
from export.runtime import Scorer
from export.web.runtime_files import PACKAGE, VERSION
from export.web.site import write_site
from ganad_tf.errors import run_cli

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
PATIENCE = 240  # seconds for one round


def make_models(folder: Path) -> dict[str, Path]:
    """Exports both detectors; returns name -> ONNX file."""
    import keras

    from export import onnx_model
    from ganad_tf.data.images import LabelledImages
    from ganad_tf.data.splits import Splits
    from ganad_tf.networks import Generator
    from ganad_tf.networks.pretrained_weights import load_efficientnet_lite0
    from ganad_tf.plan import Plan, make_plan
    from ganad_tf.scoring import fit_detector, fit_encoder
    from ganad_tf.settings.run_config import RunConfig

    def splits_of(shape: tuple[int, int, int], count: int) -> Splits:
        noise = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
        kinds = np.arange(count) % 2
        part = LabelledImages(noise, kinds.astype(np.int64), ("normal", "other"), frozenset([0]))
        return Splits(part, part, part, "normal", "seen", "0" * 64)

    def write(name: str, detector) -> Path:
        path = folder / f"{name}.onnx"
        onnx_model.save(onnx_model.build(detector, "0" * 64, "normal"), path)
        return path

    keras.utils.set_random_seed(0)
    config = RunConfig()
    small = Generator(32, 1, config.width, config.refine)
    small.build()
    splits = splits_of((28, 28, 1), 240)
    models = {"32 px": write("32", fit_detector(small, splits, Plan(score="all")))}
    config = RunConfig(data=str(folder))
    splits = splits_of((128, 128, 3), 48)
    encoder = load_efficientnet_lite0(None)
    plan, features = fit_encoder(config, make_plan(config, splits), splits, encoder)
    large = Generator(plan.generator_size, 3, config.width, config.refine)
    large.build()
    detector = fit_detector(large, splits, plan, features)
    return {**models, "128 px, with encoder": write("128", detector)}


def write_images(folder: Path, count: int, size: tuple[int, int], suffix: str) -> list[Path]:
    """Files of smooth shapes with a little noise; JPEG and PNG files of pure noise are slow."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[1], : size[0]] / size[1]
    paths = []
    for number in range(count):
        waves = [np.sin(9 * rng.random() * x + 9 * rng.random() * y) for _ in range(3)]
        pixels = 128 + 90 * np.stack(waves, -1) + rng.normal(0, 4, (*size[::-1], 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        paths.append(folder / f"{number:05}.{suffix}")
        (image.convert("L") if suffix == "png" else image).save(paths[-1])
    return paths


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that does not log."""

    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def opened(site: Path) -> Iterator[webdriver.Chrome]:
    """The site in Chromium, ready to score."""
    handler = functools.partial(Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = webdriver.ChromeOptions()
    # By name, so that selenium does not look for others in the network.
    options.binary_location = shutil.which("chromium") or ""
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    for flag in FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        wait(browser, "return document.body.dataset.ready")
        yield browser
    finally:
        browser.quit()
        server.shutdown()
        server.server_close()


def wait(browser: webdriver.Chrome, script: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not browser.execute_script(script):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {script}"
        time.sleep(0.1)


def site_rate(browser: webdriver.Chrome, paths: list[Path]) -> float:
    """Images per second, as the page itself counts them: from the choice to the last score."""
    browser.find_element("id", "files").send_keys("\n".join(map(str, paths)))
    wait(browser, "return !document.getElementById('download').disabled")
    assert "not scored" not in browser.find_element("id", "summary").text
    rate = float(browser.find_element("id", "speed").text.split()[0])
    browser.find_element("id", "clear").click()
    return rate


def runtime_rate(scorer: Scorer, paths: list[Path]) -> float:
    """Images per second of runtime.py on the same files."""
    began = time.perf_counter()
    assert all("score" in record for record in scorer.score_files(paths))
    return len(paths) / (time.perf_counter() - began)


def measure(model: Path, paths: list[Path], rounds: int) -> dict:
    """Medians over the rounds, after one that warms up; a lower and an upper end beside them."""
    with tempfile.TemporaryDirectory() as name:
        write_site(model, Path(name) / "site")
        one, all_cores = Scorer(model, threads=1), Scorer(model)
        rates: dict[str, list[float]] = {}
        with opened(Path(name) / "site") as browser:
            for number in range(rounds + 1):
                found = {
                    "browser": site_rate(browser, paths),
                    "runtime.py, one thread": runtime_rate(one, paths),
                    "runtime.py, all cores": runtime_rate(all_cores, paths),
                }
                for key, rate in found.items() if number else ():
                    rates.setdefault(key, []).append(rate)
            version = browser.capabilities["browserVersion"]
    return {
        "chromium": version,
        "images": len(paths),
        "images_per_second": {key: statistics.median(found) for key, found in rates.items()},
        "slowest_round": {key: min(found) for key, found in rates.items()},
        "fastest_round": {key: max(found) for key, found in rates.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    results: dict = {PACKAGE: VERSION, "load_average": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = make_models(folder)
        # Files: as Fashion-MNIST's, and small photos.
        files = {
            "32 px": write_images(folder / "small", 1000, (28, 28), "png"),
            "128 px, with encoder": write_images(folder / "large", 40, (320, 240), "jpg"),
        }
        for model, path in models.items():
            results[model] = measure(path, files[model], flags.rounds)
            print(model, results[model], flush=True)
    print("kept in", save("web", results))


if __name__ == "__main__":
    raise SystemExit(run_cli(main))
