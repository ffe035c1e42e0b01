"""The site in a real browser gives the scores, decisions and pixels of runtime.py."""

import csv
import io
import json
import os
import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from export.runtime import (
    FILE_STATISTICS,
    HEAT,
    OUTLINE,
    OUTLINE_SHARE,
    Scorer,
    find_images,
    find_shifts,
    measure_file,
    measure_pixels,
    open_image,
    overlay,
    prepare,
)
from export.web.site import describe_ranges
from tests.export.web import image_files as files
from tests.export.web.conftest import served


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """200 images of many kinds and sizes, and a broken one."""
    folder = tmp_path_factory.mktemp("images")
    kinds = files.readable()
    for name, data in kinds.items():
        (folder / name).write_bytes(data)
    for number, pixels in enumerate(images[: 200 - len(kinds)]):
        image, suffix = Image.fromarray(pixels[..., 0]), ("png", "jpg", "webp", "bmp")[number % 4]
        image.resize((28 + number, 30)).save(folder / f"{number:03}.{suffix}")
    (folder / "broken, truly.png").write_bytes(files.broken()["cut.png"])
    return folder


@pytest.fixture(scope="module")
def rows(page, address, folder):
    """The downloaded table, by name, after all images were scored."""
    page.open(address).score(sorted(folder.iterdir()))
    return {row["path"]: row for row in csv.DictReader(io.StringIO(page.download()))}


def test_200_images_get_the_scores_and_decisions_of_runtime_py(rows, folder, model_path):
    records = list(Scorer(model_path).score_files(sorted(folder.glob("*.*"))))
    expected = {record["path"].rsplit("/")[-1]: record for record in records if "score" in record}
    assert len(expected) == 200
    for name, record in expected.items():
        assert float(rows[name]["score"]) == pytest.approx(record["score"], abs=1e-4)
        assert float(rows[name]["probability"]) == pytest.approx(record["probability"], abs=1e-3)
        assert rows[name]["is_anomaly"] == str(record["is_anomaly"])
    assert 0 < sum(record["is_anomaly"] for record in expected.values()) < 200


def test_a_broken_file_gets_a_message_beside_its_name(rows, page):
    assert "cut off or damaged" in rows["broken, truly.png"]["error"]
    shown = page.text("tr[data-kind=error]")
    assert "broken, truly.png" in shown
    assert "expected a PNG file" in shown
    assert "200 images; 1 not scored" in page.text("#summary")


def test_keys_move_the_threshold_and_decide_again(rows, page):
    scores = [float(row["score"]) for row in rows.values() if row["score"]]
    slider = page.find("#slider")
    slider.send_keys("\ue011")  # Home
    assert page.text("#summary").startswith("200 anomalies")
    slider.send_keys("\ue014" * 3)  # right
    value = float(page.find("#threshold").get_attribute("value"))
    assert min(scores) - 1 < value < max(scores)
    field = page.find("#threshold")
    typed = sorted(set(scores))[-8]
    field.send_keys("\ue009a\ue000" + repr(typed))  # over what is there
    above = sum(score > typed for score in scores)
    assert page.text("#summary").startswith(f"{above} anomalies")
    table = csv.DictReader(io.StringIO(page.download()))
    assert sum(row["is_anomaly"] == "True" for row in table) == above
    page.find("#reset").click()
    table = csv.DictReader(io.StringIO(page.download()))
    assert all(row["is_anomaly"] == rows[row["path"]]["is_anomaly"] for row in table)


def test_rows_are_walked_with_the_arrow_keys(rows, page):
    first, second = page.browser.find_elements("css selector", "#rows th button")[:2]
    first.send_keys("\ue007")  # Enter
    first.send_keys("\ue015")  # down
    page.wait(f"return document.getElementById('viewer-heading').textContent === {second.text!r}")
    focused = page.browser.switch_to.active_element
    assert (focused.text, focused.get_attribute("aria-pressed")) == (second.text, "true")
    assert second.text in page.find("#picture").get_attribute("aria-label")


def test_everything_can_be_reached_with_the_tab_key_and_has_a_name(rows, page):
    page.browser.execute_script("document.querySelector('.skip').focus()")
    seen = set()
    for _ in range(16):
        page.browser.switch_to.active_element.send_keys("\ue004")  # Tab
        focused = page.browser.switch_to.active_element
        assert focused.accessible_name
        seen.add(focused.get_attribute("id"))
    wanted = {"choose-files", "choose-folder", "camera", "slider", "threshold", "show-heat"}
    assert wanted | {"order", "show", "download", "clear"} <= seen


def test_the_camera_is_scored_and_a_frame_kept(rows, page):
    page.find("#camera").click()
    page.wait("return document.getElementById('viewer-heading').textContent === 'Camera'")
    page.find("#keep").click()
    page.wait("return document.getElementById('summary').textContent.includes('201 images')")
    page.find("#camera").click()
    assert not page.find("#keep").is_displayed()


def test_a_double_click_opens_the_camera_once(rows, page):
    page.browser.execute_script("""
        const devices = navigator.mediaDevices, open = devices.getUserMedia.bind(devices);
        window.streams = [];
        devices.getUserMedia = (wanted) => {
          const stream = open(wanted);
          window.streams.push(stream);
          return stream;
        };
        for (let i = 0; i < 2; i++) document.getElementById("camera").click();""")
    page.wait("return !document.getElementById('keep').hidden")
    page.wait("return document.getElementById('viewer-heading').textContent === 'Camera'")
    page.find("#camera").click()
    states = page.run("""
        const streams = await Promise.all(window.streams);
        return streams.flatMap((stream) => stream.getTracks().map((track) => track.readyState));""")
    assert states == ["ended"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("window.tracks[0].dispatchEvent(new Event('ended'))", "It was disconnected"),
        ("window.createImageBitmap = () => Promise.reject(new Error('no frame'))", "no frame"),
    ],
)
def test_a_camera_that_stops_by_itself_is_reported(rows, page, script, reason):
    page.browser.execute_script("""
        const devices = navigator.mediaDevices, open = devices.getUserMedia.bind(devices);
        devices.getUserMedia = async (wanted) => {
          const stream = await open(wanted);
          window.tracks = stream.getTracks();
          return stream;
        };
        document.getElementById("camera").click();""")
    page.wait("return !document.getElementById('keep').hidden")
    page.browser.execute_script(script)
    page.wait("return document.getElementById('keep').hidden")
    assert page.text("#input-note").startswith(f"The camera has stopped. {reason}")
    assert page.browser.execute_script("return window.tracks[0].readyState") == "ended"


def test_the_console_stays_empty(rows, page):
    assert not page.browser.get_log("browser")


@pytest.mark.parametrize(
    ("shape", "resize"), [((28, 28, 1), "stretch"), ((32, 48, 3), "pad"), ((64, 48, 3), "pad")]
)
def test_every_kind_of_file_is_prepared_bit_for_bit_as_by_runtime_py(page, address, shape, resize):
    page.browser.get(address + "empty.html")
    model = {"image_shape": shape, "resize": resize, "bit_depth": 12, "max_pixels": 500_000}
    kinds = files.readable()
    for name, found in page.prepare(kinds, model).items():
        expected = prepare(open_image(kinds[name]), shape, resize, 12)
        assert not isinstance(found, str), f"{name}: {found}"
        np.testing.assert_array_equal(found, expected, name)


def test_what_pillow_refuses_is_refused(page, address):
    page.browser.get(address + "empty.html")
    model = {"image_shape": (8, 8, 1), "resize": "stretch", "bit_depth": 16, "max_pixels": 90_000}
    refused = {
        **files.broken(),
        "large.png": files.encode(files.picture(301, 300), "PNG"),
        "large.jpg": files.encode(files.picture(301, 300), "JPEG"),
        "large.webp": files.encode(files.picture(301, 300), "WEBP"),
        # These two Pillow reads, but not every browser does in the same way.
        "print.jpg": files.encode(files.picture(30, 30).convert("CMYK"), "JPEG"),
        "page.tif": files.encode(files.picture(30, 30), "TIFF"),
    }
    for name, found in page.prepare(refused, model).items():
        assert isinstance(found, str), f"{name} must be refused"
        assert found.startswith("expected"), name
        assert "Received: " in found, name


@pytest.mark.parametrize("pixel_threshold", [None, 1.5])
def test_the_heat_map_is_drawn_as_by_runtime_py(page, address, pixel_threshold):
    page.browser.get(address + "empty.html")
    pixels = np.asarray(files.picture(40, 60))
    heat = np.random.default_rng(0).uniform(-0.2, 2.4, (20, 30)).astype(np.float32)
    model = {"image_shape": [20, 30, 3], "resize": "stretch", "map_colour_range": [0, 2]}
    model |= {"outline_colour": OUTLINE, "outline_share": OUTLINE_SHARE, "heat_colours": HEAT}
    model["pixel_threshold"] = pixel_threshold
    rgba = np.concatenate([pixels, np.full((40, 60, 1), 255, np.uint8)], -1)
    script = """
        const { draw } = await import("/overlay.js");
        const image = { width: 60, height: 40, rgba: Uint8Array.from(a[0]) };
        return [...draw(image, Float32Array.from(a[1]), a[2], 1024).overlay.data];"""
    drawn = page.run(script, rgba.ravel().tolist(), heat.ravel().tolist(), model)
    found = np.reshape(drawn, (40, 60, 4))[..., :3]
    marked = None if pixel_threshold is None else heat > pixel_threshold
    assert np.abs(found - overlay(pixels, heat, (0, 2), marked).astype(int)).max() <= 1
    assert (found == OUTLINE).all(axis=-1).any() == (pixel_threshold is not None)


def shifts_on_the_page(page, ranges, images):
    """What shift.js measures on images, and how it finds them to differ."""
    script = """
        const { measure, findShifts } = await import("/shift.js");
        const measured = a[0].map(([pixels, width, height, rgba]) =>
          measure(Uint8Array.from(pixels), [20, 30, 3],
            { width, height, rgba: Uint8Array.from(rgba) }));
        return [measured, findShifts(a[1], measured)];"""
    given = [
        [
            prepare(image, (20, 30, 3)).ravel().tolist(),
            *image.size,
            np.asarray(image.convert("RGBA")).ravel().tolist(),
        ]
        for image in images
    ]
    return page.run(script, given, describe_ranges(ranges))


def test_images_that_differ_from_training_are_noticed_as_by_runtime_py(page, address):
    page.browser.get(address + "empty.html")
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 200, (40, 60, 3), np.uint8)) for _ in range(12)]
    pixels = np.stack([prepare(image, (20, 30, 3)) for image in images])
    columns = measure_pixels(pixels)
    columns |= zip(FILE_STATISTICS, np.transpose([measure_file(i) for i in images]), strict=True)
    percentiles = {name: np.linspace(0.5, 1.6, 101) * np.median(c) for name, c in columns.items()}
    percentiles["size"] = percentiles["size"] * 3
    ranges = {"images": 400, "percentiles": {n: p.tolist() for n, p in percentiles.items()}}
    measured, shifts = shifts_on_the_page(page, ranges, images)
    for name, column in columns.items():
        np.testing.assert_allclose([row[name] for row in measured], column, atol=1e-3)
    expected = find_shifts(ranges, columns)
    assert "size" in [shift["name"] for shift in expected]
    assert len(shifts) == len(expected)
    for found, wanted in zip(shifts, expected, strict=True):
        assert found["median"] == pytest.approx(wanted["median"], abs=1e-3)
        for key in ("name", "training", "low", "high", "outside"):
            assert found[key] == wanted[key]


def test_statistics_of_every_kind_of_png_file_are_those_of_runtime_py(page, address):
    """Of 16 bits and of transparent pixels, runtime.py sees the colours that are stored."""
    page.browser.get(address + "empty.html")
    kinds = {name: data for name, data in files.readable().items() if name.endswith(".png")}
    script = """
        const { decode } = await import("/prepare.js");
        const { measure } = await import("/shift.js");
        const measured = {};
        for (const [name, bytes] of Object.entries(a[0])) {
          const model = { bit_depth: 12, max_pixels: 1e6 };
          const image = await decode(Uint8Array.from(bytes), model);
          measured[name] = measure(new Uint8Array(12), [2, 2, 3], image);
        }
        return measured;"""
    found = page.run(script, {name: list(data) for name, data in kinds.items()})
    for name, data in kinds.items():
        expected = measure_file(open_image(data))
        # Turning and averaging round in another order.
        np.testing.assert_allclose([found[name][s] for s in FILE_STATISTICS], expected, atol=0.2)
    assert found["clear.png"]["saturation"] > 20


def test_values_equal_to_those_of_training_are_not_outside(page, address):
    page.browser.get(address + "empty.html")
    # 4/3 is rounded, and 33/32 lies half way between two values of four decimals.
    sizes = [(48, 48)] * 20 + [(64, 48)] * 4 + [(33, 32)]
    images = [Image.new("RGB", size) for size in sizes]
    ranges = {"images": 400, "percentiles": {"aspect": [1.0312] * 2 + [1.3333] * 99}}
    measured, (shift,) = shifts_on_the_page(page, ranges, images)
    aspects = [measure_file(image)[1] for image in images]
    assert [row["aspect"] for row in measured] == aspects
    (expected,) = find_shifts(ranges, {"aspect": np.asarray(aspects)})
    assert shift["outside"] == expected["outside"] == 20


def test_a_folder_gives_the_images_that_runtime_py_finds(page, address, site, tmp_path):
    page.browser.get(address + "empty.html")
    names = (
        "a.png b.JPG c.heic notes.txt .hidden.png d/e.png d/.git/f.png d/@eaDir/g.png d/Thumbs.db"
    )
    for name in names.split():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    expected = [path for path, _ in find_images([str(tmp_path / "photos")], [])]
    script = """
        const { fromInput } = await import("/files.js");
        const given = a[0].map((path) => ({ webkitRelativePath: path }));
        return fromInput(given, a[1]).images.map(({ name }) => name);"""
    model = json.loads((site / "model.json").read_text(encoding="utf-8"))
    found = page.run(script, [f"photos/{name}" for name in names.split()], model)
    assert sorted(found) == sorted(str(path).removeprefix(f"{tmp_path}/") for path in expected)


def test_large_models_get_threads_from_a_plain_file_server(start_browser, site):
    page = start_browser()
    with served(site) as address:
        page.open(address)
        assert not page.browser.execute_script("return crossOriginIsolated")  # a small model
        page.browser.execute_script(
            "import('/threads.js').then(({ reloadForThreads }) => "
            "reloadForThreads({ image_shape: [128, 128, 1] }))"
        )
        page.wait("return self.crossOriginIsolated && document.body.dataset.ready")
        script = "return (await import('/threads.js')).threadsFor({ image_shape: a[0] })"
        assert page.run(script, [28, 28, 1]) == 1
        assert page.run(script, [128, 128, 1]) > 1
    page.browser.quit()


def test_redirections_pass_the_service_worker(page, site):
    with served(site) as address:
        page.browser.get(address + "empty.html")
        page.run("""
            await navigator.serviceWorker.register("headers.js");
            await navigator.serviceWorker.ready;""")
        page.browser.get(address + "empty.html")
        assert page.browser.execute_script("return crossOriginIsolated")
        page.browser.get(address + "runtime")  # a folder: the server adds a slash
        assert page.browser.current_url == address + "runtime/"
        assert "ort.wasm.min.js" in page.text("body")


def test_a_model_that_was_exchanged_is_found_at_once(page, site, tmp_path):
    path = shutil.copytree(site, tmp_path / "site") / "model.json"
    model = json.loads(path.read_text(encoding="utf-8"))
    with served(path.parent) as address:
        for threshold, written in ((model["threshold"], 1e9), (12.5, 1.1e9)):
            path.write_text(json.dumps({**model, "threshold": threshold}), encoding="utf-8")
            # Browsers keep files without special headers, the longer the older they are.
            os.utime(path, (written, written))
            page.open(address)
        assert float(page.find("#threshold").get_attribute("value")) == 12.5


def test_no_request_leaves_for_another_server(start_browser, address, folder, tmp_path):
    page = start_browser(f"--log-net-log={tmp_path / 'net.json'}")
    page.open(address).score([folder / "rgb.png"])
    page.browser.quit()
    log = json.loads((tmp_path / "net.json").read_text(encoding="utf-8"))
    kind = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    requests = [
        e["params"] for e in log["events"] if e["type"] == kind and "url" in e.get("params", {})
    ]
    own = address.rstrip("/")
    asked = [r["url"] for r in requests if own in (r.get("initiator"), r["url"][: len(own)])]
    assert any(url.endswith(".onnx") for url in asked)
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(address).netloc}
