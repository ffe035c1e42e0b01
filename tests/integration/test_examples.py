"""Every script in examples/ runs, with shortened training."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(script, *arguments):
    """Runs a script in this process, which has imported TensorFlow already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANAD_SHORT", "1")
        patch.syspath_prepend(EXAMPLES)
        patch.setattr("sys.argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory):
    """What `own_folder.py` writes; the two scripts about exported models use it."""
    folder = tmp_path_factory.mktemp("own_folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("own_folder.py")
    return folder


def test_own_folder(own_folder):
    names = {path.name for path in own_folder.iterdir()}
    assert names == {"metal", "detector", "exported"}
    assert (own_folder / "exported" / "saved_model" / "1" / "saved_model.pb").is_file()


def test_deploy_with_onnx_runtime(own_folder, tmp_path):
    for path in (ROOT / "export" / "runtime.py", EXAMPLES / "deploy_with_onnx_runtime.py"):
        shutil.copy(path, tmp_path)
    shutil.copytree(own_folder / "metal" / "anomaly", tmp_path / "images")
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    script = tmp_path / "deploy_with_onnx_runtime.py"
    assert "ganad_tf" not in script.read_text().partition('"""\n\n')[2]
    result = subprocess.run(
        [sys.executable, script, own_folder / "exported" / "model.onnx", "images"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 21
    assert "broken.png" in result.stderr


def test_serve_and_call(own_folder, capsys):
    pytest.importorskip("tensorflow_serving", reason="the extra `serving` is not installed")
    run("serve_and_call.py", own_folder / "exported" / "saved_model" / "1")
    assert capsys.readouterr().out.count("score") == 6


@pytest.mark.slow  # it scores all 10,000 test images
def test_first_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run("first_run.py")
    assert "AUROC of 1,000 test images" in capsys.readouterr().out
    assert (tmp_path / "runs" / "first" / "report.html").is_file()


def test_few_defects_with_masks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run("few_defects_with_masks.py")
    assert "AUROC of 80 new images" in capsys.readouterr().out
    assert Image.open(tmp_path / "scratches.png").size == (6 * 64, 3 * 64)


def test_normal_images_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run("normal_images_only.py")
    assert "at most 5.00% false alarms (conformal)" in capsys.readouterr().out


def test_every_script_is_listed_and_run_here():
    scripts = {path.stem for path in EXAMPLES.glob("*.py")} - {"sample_images"}
    assert scripts == {name.removeprefix("test_") for name in globals()} & scripts
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"({name}.py)" in listed for name in scripts)
