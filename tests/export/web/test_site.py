"""The command that writes the site: what it writes, and what it refuses."""

import hashlib
import json
import stat
import tarfile

import numpy as np
import onnx
import pytest

from export.runtime import Scorer
from export.web import __main__ as command
from export.web import runtime_files
from export.web.site import SHOWN
from ganad_tf.errors import ArtefactError, UsageError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANAD_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A folder with small files that stand for onnxruntime-web."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name, file in runtime_files.FILES.items():
        content = name.encode()
        (folder / file.source).write_bytes(content)
        known = file._replace(sha256=hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(runtime_files.FILES, name, known)
    return folder


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """Replaces npm by a shell script."""

    def replace(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return replace


def write(source, output, *flags):
    command.main([str(source), "--output", str(output), *map(str, flags)])


def test_a_site_holds_the_page_the_model_and_the_runtime(runtime, model_path, tmp_path):
    (tmp_path / "site").mkdir()  # an empty folder will do
    write(model_path.parent, tmp_path / "site", "--runtime", runtime)
    description = json.loads((tmp_path / "site" / "model.json").read_text(encoding="utf-8"))
    for file in description["files"].values():
        assert (tmp_path / "site" / file["path"]).stat().st_size == file["bytes"]
    shown, whole = (
        onnx.load(path)
        for path in (tmp_path / "site" / description["files"]["model"]["path"], model_path)
    )
    assert {output.name for output in shown.graph.output} == set(SHOWN)
    assert shown.metadata_props == whole.metadata_props
    assert len(shown.graph.node) < len(whole.graph.node)
    assert "28 × 28 pixels, grey" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_the_offered_model_works_in_the_runtime_and_has_the_hash_on_the_page(
    runtime, model_path, images, tmp_path
):
    write(model_path, tmp_path / "site", "--runtime", runtime)
    description = json.loads((tmp_path / "site" / "model.json").read_text(encoding="utf-8"))
    offered = tmp_path / "site" / description["files"]["model"]["path"]
    digest = hashlib.sha256(offered.read_bytes()).hexdigest()
    assert digest == description["sha256"]
    assert f"<code>{digest}</code>" in (tmp_path / "site" / "index.html").read_text("utf-8")
    names = ("score", "probability", "is_anomaly", "anomaly_map", "mask")
    whole = Scorer(model_path).score(images[:4], outputs=names)
    found = Scorer(offered).score(images[:4], outputs=names)
    for name in names:
        np.testing.assert_allclose(found[name], whole[name], atol=1e-5)


@pytest.mark.parametrize("source", ["training", "recalibration"])
def test_the_page_says_where_the_ranges_of_its_model_are_from(
    source, runtime, model_path, tmp_path
):
    model = onnx.load(model_path)
    known = {entry.key: entry for entry in model.metadata_props}
    if source != "training":
        ranges = {**json.loads(known["image_ranges"].value), "source": source}
        known["image_ranges"].value = json.dumps(ranges)
    onnx.save(model, tmp_path / "model.onnx")
    write(tmp_path / "model.onnx", tmp_path / "site", "--runtime", runtime)
    text = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert f"differ from the {source} images" in text
    description = json.loads((tmp_path / "site" / "model.json").read_text(encoding="utf-8"))
    assert description["ranges"]["source"] == source


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "a folder with model.onnx .* Received: a folder without it"),
        (lambda path: None, "Received: no such file or folder"),
        (lambda path: path.write_bytes(b"?"), "expected an ONNX model"),
    ],
)
def test_what_is_no_export_is_refused(make, message, runtime, tmp_path):
    make(tmp_path / "source")
    with pytest.raises(ArtefactError, match=message):
        write(tmp_path / "source", tmp_path / "site", "--runtime", runtime)
    assert not (tmp_path / "site").exists()


def test_a_model_without_metadata_is_refused(runtime, model_path, tmp_path):
    model = onnx.load(model_path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ArtefactError, match="with its metadata"):
        write(tmp_path / "bare.onnx", tmp_path / "site", "--runtime", runtime)
    assert not (tmp_path / "site").exists()


def test_a_folder_in_use_is_left_alone(runtime, model_path, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="--output must be a new folder"):
        write(model_path, tmp_path / "site", "--runtime", runtime)
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["mine.txt"]


def test_the_current_folder_is_refused_at_once(runtime, model_path, tmp_path, monkeypatch):
    (tmp_path / "place" / "site").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "place" / "site")
    with pytest.raises(UsageError, match=r"must be a new folder. Received: \., the current folder"):
        write(model_path, ".", "--runtime", runtime)
    assert [path.name for path in (tmp_path / "place").rglob("*")] == ["site"]


@pytest.mark.parametrize("damage", ["changed", "missing", "elsewhere"])
def test_other_files_than_the_known_ones_are_refused(damage, runtime, model_path, tmp_path):
    file = runtime / runtime_files.FILES["loader"].source
    if damage == "changed":
        file.write_text("other")
    elif damage == "missing":
        file.unlink()
    else:
        runtime = tmp_path / "cache"
    with pytest.raises(ArtefactError, match=r"onnxruntime-web 1\..*Received: "):
        write(model_path, tmp_path / "site", "--runtime", runtime)
    assert not (tmp_path / "site").exists()


def test_a_package_with_another_hash_is_refused(runtime, model_path, tmp_path):
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as archive:
        archive.add(runtime, "package/dist")
    with pytest.raises(ArtefactError, match="SHA-512"):
        write(model_path, tmp_path / "site", "--runtime", tmp_path / "other.tgz")
    assert not (tmp_path / "site").exists()
    assert not list((tmp_path / "cache").glob("onnxruntime*"))


def test_files_are_got_through_npm_once(runtime, npm, model_path, tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        archive.add(runtime, "package/dist")
    made = (tmp_path / "made.tgz").read_bytes()
    monkeypatch.setattr(
        runtime_files,
        "INTEGRITY",
        runtime_files.base64.b64encode(hashlib.sha512(made).digest()).decode(),
    )
    npm(f"echo called >> {tmp_path}/calls; cp {tmp_path}/made.tgz onnxruntime-web.tgz")
    for name in ("one", "two"):
        write(model_path, tmp_path / name)
        assert (tmp_path / name / "index.html").exists()
    assert (tmp_path / "calls").read_text().split() == ["called"]


@pytest.mark.parametrize("script", [None, "echo 'npm error network: no route' >&2; exit 1"])
def test_without_npm_or_network_the_error_says_what_to_do(
    script, npm, model_path, tmp_path, monkeypatch
):
    if script is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        npm(script)
    with pytest.raises(
        ArtefactError, match=r"--runtime .*npm pack.* Received: (no command|npm err)"
    ):
        write(model_path, tmp_path / "site")
    assert not (tmp_path / "site").exists()
    assert not list((tmp_path / "cache").glob("*onnxruntime*"))
