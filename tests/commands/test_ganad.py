"""The command `ganad`: its help, its subcommands, its completion, and the wheel that carries it."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ganad_tf.command_names import command_name
from ganad_tf.commands import ganad
from ganad_tf.commands.ganad import COMMANDS, help_text
from ganad_tf.errors import UsageError, run_cli

ROOT = Path(__file__).parents[2]
# What an installation does not get: the stand-in for export/ in a checkout.
NOT_INSTALLED = {"ganad_tf/export/__init__.py"}


def python(*arguments, cwd=ROOT, path=ROOT):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={"PYTHONPATH": str(path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_help_fits_a_screen_and_names_every_command():
    lines = help_text().splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 100
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in COMMANDS)


def test_the_help_imports_nothing_heavy():
    result = python("-X", "importtime", "-m", "ganad_tf", "--help")
    assert result.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert not imported & {"tensorflow", "keras", "numpy", "onnxruntime", "sklearn"}


def test_subcommands_explain_themselves_without_tensorflow():
    code = (
        "import argparse, sys\n"
        "from ganad_tf.commands.ganad import COMMANDS\n"
        "for name, command in COMMANDS.items():\n"
        "    raw = argparse.RawDescriptionHelpFormatter\n"
        "    parser = argparse.ArgumentParser(prog=f'ganad {name}', formatter_class=raw)\n"
        "    command.load().configure(parser)\n"
        "    assert parser.description\n"
        "    print(parser.format_help())\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert "ganad train --data photos" in result.stdout
    assert "python -m export" not in result.stdout


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            ["--normal", "77"],
            "--normal must be a class .*: a number from 0 to 9, or one of T-sh.*Received: '77'",
        ),
        (["--protocol", "unseen", "--known", "shoe"], "--known must be a class .*Received: 'shoe'"),
        (["--batch-size", "0"], "batch-size must be at least .*Received: 0"),
        (["--data", "no"], "--data must be a folder of images or a CSV file.*: no, which does not"),
    ],
)
def test_a_wrong_setting_is_told_before_tensorflow_is_loaded(wrong, told):
    code = (
        "import sys\n"
        "from ganad_tf.commands.train import main\n"
        "from ganad_tf.errors import run_cli\n"
        f"assert run_cli(lambda: main({wrong!r})) == 2\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert re.search(told, result.stderr)


@pytest.mark.parametrize("name", ["trian", "", "--verbose"])
def test_an_unknown_command_is_a_usage_error(name, capsys):
    assert run_cli(lambda: ganad.run([name])) == UsageError.exit_code
    assert "COMMAND must be one of train, export" in capsys.readouterr().err


def test_a_typing_mistake_gets_a_suggestion(capsys):
    run_cli(lambda: ganad.run(["trian"]))
    assert "Received: trian (did you mean train?)" in capsys.readouterr().err


def test_no_command_shows_the_help_as_an_error(capsys):
    assert ganad.run([]) == UsageError.exit_code
    assert capsys.readouterr().err == help_text()


def test_flags_and_exit_codes_pass_through(capsys, tmp_path):
    assert run_cli(lambda: ganad.run(["score", str(tmp_path / "no.onnx"), str(tmp_path)])) == 1
    assert "no.onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "--score", "novelti"], "argument --score: invalid choice: 'novelti' .*; see"),
        (["train", "--max-false-alarms", "5%"], "must be a share, such as 0.05. Received: '5%'; s"),
        (["train", "--no-such-flag"], "unrecognized arguments: --no-such-flag; see"),
        (["export"], "the following arguments are required: run; see"),
        (["batch", "a", "b", "--output", "c", "--max-false-alarms", "5%"], "share, such as 0.05. "),
        (["recalibrate", "a", "b", "--max-false-alarms", "5%"], "must be a share, such as 0.05. "),
        (["score", "a", "b", "--max-false-alarms", "5%"], "must be a share, such as 0.05. "),
        (["score", "a"], "the following arguments are required: images; see"),
    ],
)
def test_a_wrong_flag_is_told_in_one_line_that_names_the_help(words, told, capsys):
    try:
        code = run_cli(lambda: ganad.run(words))
    except SystemExit as stopped:  # of runtime.py, which has no other files
        code = stopped.code
    assert code == UsageError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"error: .*{told}", line)
    assert line.endswith(f"; see ganad {words[0]} --help")


def test_completion_knows_commands_and_flags(capsys):
    pytest.importorskip("shtab", reason="the extra `completion` is not installed")
    ganad.run(["completion", "bash"])
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert all(flag in script for flag in ("--max-false-alarms", "--shard-size", "--jsonl"))


def test_advice_names_the_command_that_was_used(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/ganad", "train"])
    assert command_name("train") == "ganad train"
    monkeypatch.setattr("sys.argv", ["train.py"])
    assert command_name("train") == "python train.py"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A wheel of this checkout, unpacked; built from a copy, which leaves no files here."""
    setuptools = pytest.importorskip("setuptools", "68")
    assert setuptools
    copy, wheels, site = (tmp_path_factory.mktemp(n) for n in ("copy", "wheels", "site"))
    for name in ("ganad_tf", "export"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    built = python("-c", code, wheels, cwd=copy, path=copy)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def test_the_wheel_claims_one_name_and_carries_every_file(unpacked):
    assert {path.name.split("-")[0] for path in unpacked.iterdir()} == {"ganad_tf"}
    entry_points = next(unpacked.glob("*.dist-info/entry_points.txt")).read_text()
    assert "ganad = ganad_tf.commands.ganad:main" in entry_points
    found = {str(p.relative_to(unpacked)) for p in (unpacked / "ganad_tf").rglob("*.*")}
    ours = {str(p.relative_to(ROOT)) for p in (ROOT / "ganad_tf").rglob("*.*")} - NOT_INSTALLED
    ours |= {f"ganad_tf/{p.relative_to(ROOT)}" for p in (ROOT / "export").rglob("*.*")}
    assert found == {name for name in ours if "__pycache__" not in name}


def test_the_wheel_runs_where_there_is_no_checkout(unpacked, tmp_path):
    code = "from ganad_tf.export import runtime; print(runtime.__file__)"
    result = python("-c", code, cwd=tmp_path, path=unpacked)
    assert result.stdout.strip() == str(unpacked / "ganad_tf" / "export" / "runtime.py")
    result = python("-m", "ganad_tf", "verify", "no", cwd=tmp_path, path=unpacked)
    assert result.stderr == (
        "error: no: expected an exported run (ganad export no). Received: no export.json\n"
    )
