"""The commands' bad input: one clear line and the right exit code."""

import hashlib
import json

import pytest

from export import __main__ as command
from export import verify
from ganad_tf.errors import run_cli
from ganad_tf.settings.run_config import RunConfig


def run(monkeypatch, main, *arguments):
    monkeypatch.setattr("sys.argv", ["export", *map(str, arguments)])
    return run_cli(main)


@pytest.mark.parametrize(
    "flags",
    [
        ["--formats", "tflite"],
        ["--formats", ""],
        ["--opset", "3"],
        ["--version", "0"],
        ["--version", "3", "--formats", "onnx"],
    ],
)
def test_wrong_flags_are_usage_errors(monkeypatch, capsys, flags):
    assert run(monkeypatch, command.main, "run", *flags) == 2
    assert "Received: " in capsys.readouterr().err


@pytest.mark.parametrize("main", [command.main, verify.main])
@pytest.mark.parametrize("drop", ["nan", "-0.1", "2"])
def test_an_allowed_drop_that_is_no_share_is_a_usage_error(monkeypatch, capsys, main, drop):
    assert run(monkeypatch, main, "run", "--max-auroc-drop", drop) == 2
    assert "--max-auroc-drop must be in 0..1. Received: " in capsys.readouterr().err


def test_a_missing_run_is_named(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, command.main, tmp_path / "no") == 1
    assert "no: expected the folder of a run, as python train.py makes" in capsys.readouterr().err


def test_an_unfinished_run_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(RunConfig().to_dict()))
    assert run(monkeypatch, command.main, tmp_path) == 1
    assert "expected a finished run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_verifying_needs_an_export(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, verify.main, tmp_path) == 1
    assert "Received: no export.json" in capsys.readouterr().err


def test_verifying_names_a_file_that_is_gone_or_another_one(monkeypatch, capsys, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"whole")
    digest = hashlib.sha256(b"whole").hexdigest()
    files = {"model.onnx": {"bytes": 5, "sha256": digest}}
    (tmp_path / "export.json").write_text(json.dumps({"formats": {}, "files": files}))
    verify.check_files(tmp_path, files)
    (tmp_path / "model.onnx").write_bytes(b"half")
    assert run(monkeypatch, verify.main, tmp_path) == 1
    assert f"expected the exported file, SHA-256 {digest[:12]}" in capsys.readouterr().err
    (tmp_path / "model.onnx").unlink()
    assert run(monkeypatch, verify.main, tmp_path) == 1
    assert "model.onnx: expected the exported file. Received: no such" in capsys.readouterr().err
