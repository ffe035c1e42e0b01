"""A site around the tiny model, a plain file server, and the system's Chromium."""

import base64
import contextlib
import functools
import http.server
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from export.web.runtime_files import find_runtime
from export.web.site import write_site
from ganad_tf.errors import ArtefactError

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--window-size=1280,1000"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)


class Handler(http.server.SimpleHTTPRequestHandler):
    """A file server without special headers, and an empty page for tests of single modules."""

    def do_GET(self):
        if self.path != "/empty.html":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html>")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site(model_path, tmp_path_factory) -> Path:
    try:
        find_runtime(None)
    except ArtefactError as error:
        pytest.skip(f"needs onnxruntime-web: {error}")
    folder = tmp_path_factory.mktemp("web") / "site"
    write_site(model_path, folder)
    return folder


@contextlib.contextmanager
def served(folder: Path):
    """The address at which a folder is served, with a slash at the end."""
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def address(site):
    with served(site) as address:
        yield address


@pytest.fixture(scope="session")
def start_browser(tmp_path_factory):
    """Starts Chromium: a function of further command line flags."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("needs chromium and chromedriver, which .ci/run installs")
    started = []

    def start(*flags):
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*FLAGS, *flags):
            options.add_argument(flag)
        folder = str(tmp_path_factory.mktemp("downloads"))
        options.add_experimental_option("prefs", {"download.default_directory": folder})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=driver)
        browser = webdriver.Chrome(options=options, service=service)
        browser.set_script_timeout(60)
        started.append(browser)
        return Page(browser, Path(folder))

    yield start
    for browser in started:
        browser.quit()


@pytest.fixture(scope="session")
def page(start_browser):
    return start_browser()


class Page:
    """The site in a browser, in the words of its user.

    Args:
        browser: selenium's.
        downloads: the folder where it puts what is downloaded.
    """

    def __init__(self, browser, downloads: Path):
        self.browser, self.downloads = browser, downloads

    def open(self, address: str) -> "Page":
        """Opens the site and waits until it can score."""
        self.browser.get(address)
        self.wait("return document.body.dataset.ready")
        return self

    def run(self, script: str, *arguments):
        """What the body of an async function of JavaScript returns; `a` are its arguments."""
        body = "const a = [...arguments], done = a.pop();"
        body += (
            f"(async () => {{ {script} }})().then(done, (error) => done({{error: `${{error}}`}}))"
        )
        result = self.browser.execute_async_script(body, *arguments)
        assert not (isinstance(result, dict) and "error" in result), result
        return result

    def wait(self, script: str, seconds: float = 60):
        """Waits until a script returns something true, and returns it."""
        deadline = time.monotonic() + seconds
        while not (result := self.browser.execute_script(script)):
            assert time.monotonic() < deadline, f"not within {seconds} s: {script}"
            time.sleep(0.05)
        return result

    def find(self, css: str):
        return self.browser.find_element("css selector", css)

    def text(self, css: str) -> str:
        return self.find(css).text

    def score(self, paths) -> None:
        """Chooses files and waits until all are scored."""
        self.find("#files").send_keys("\n".join(map(str, paths)))
        self.wait("return !document.getElementById('download').disabled")

    def download(self) -> str:
        """The table as CSV."""
        path = self.downloads / "scores.csv"
        path.unlink(missing_ok=True)
        self.find("#download").click()
        deadline = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < deadline, "expected a download"
            time.sleep(0.05)
        return path.read_text(encoding="utf-8")

    def prepare(self, files: dict[str, bytes], model: dict) -> dict[str, np.ndarray | str]:
        """What the page's own code makes of files: uint8 [h, w, C], or the error's message."""
        script = """
            const { decode, toModel } = await import("/prepare.js");
            const results = {};
            for (const [name, data] of Object.entries(a[0])) {
              const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
              try {
                const pixels = toModel(await decode(bytes, a[1]), a[1]);
                const letters = Array.from(pixels, (value) => String.fromCharCode(value));
                results[name] = { pixels: btoa(letters.join("")) };
              } catch (error) {
                results[name] = { message: error.message };
              }
            }
            return results;"""
        encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
        return {
            name: result["message"]
            if "message" in result
            else np.frombuffer(base64.b64decode(result["pixels"]), np.uint8).reshape(
                model["image_shape"]
            )
            for name, result in self.run(script, encoded, model).items()
        }
