"""Saved models load in safe mode wherever `ganad_tf` was imported; `--help` waits for nothing."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from ganad_tf.keras_classes import CLASSES
from ganad_tf.networks import Generator
from ganad_tf.training.model import DualDiscriminatorGAN

ROOT = Path(__file__).parents[1]
LOAD = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import {first}
import {second}
assert "ganad_tf.training.model" not in sys.modules
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
print(type(model).__module__, type(model).__name__, model.count_params())
"""


def python(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = DualDiscriminatorGAN(width=2, discriminator_width=2, refine=True)
    model.compile(*(keras.optimizers.Adam() for _ in range(3)))
    model.save(folder / "model.keras")
    generator = Generator(width=2)
    generator.build()
    generator.save(folder / "generator.keras")
    return {
        folder / "model.keras": ("ganad_tf.training.model DualDiscriminatorGAN", model),
        folder / "generator.keras": ("ganad_tf.networks.generator Generator", generator),
    }


@pytest.mark.parametrize(("first", "second"), [("ganad_tf", "keras"), ("keras", "ganad_tf")])
def test_a_saved_model_loads_in_a_fresh_process(saved, first, second):
    for path, (name, model) in saved.items():
        result = python("-c", LOAD.format(first=first, second=second), path)
        assert result.stdout.strip() == f"{name} {model.count_params()}", result.stderr


def test_every_registered_name_is_the_one_that_its_class_has():
    for name, (module, class_name) in CLASSES.items():
        registered = keras.saving.get_registered_object(name)
        assert registered is not None
        assert keras.saving.get_registered_name(getattr(sys.modules[module], class_name)) == name


def test_help_imports_neither_keras_nor_tensorflow():
    code = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('LOADED', {'keras', 'tensorflow'} & set(sys.modules)))\n"
        "sys.argv = ['train.py', '--help']\n"
        "runpy.run_path('train.py', run_name='__main__')\n"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert "LOADED set()" in result.stdout
    assert "--normal" in result.stdout


def test_every_class_that_is_saved_is_registered():
    saved = {
        f"ganad_tf>{name}"
        for path in (ROOT / "ganad_tf").rglob("*.py")
        for name in re.findall(
            r'@keras\.saving\.register_keras_serializable\("ganad_tf"\)\nclass (\w+)',
            path.read_text(encoding="utf-8"),
        )
    }
    assert saved == set(CLASSES)
