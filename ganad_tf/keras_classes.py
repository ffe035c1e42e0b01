"""Registers our classes with Keras as soon as both libraries are imported, in either order.

`keras.saving.load_model` refuses classes that are not registered. Importing Keras takes seconds,
and `--help` must be fast, so the classes are registered when Keras is imported.
"""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

# Registered name -> where the class is defined.
CLASSES = {
    "ganad_tf>Generator": ("ganad_tf.networks.generator", "Generator"),
    "ganad_tf>DownStep": ("ganad_tf.networks.generator", "DownStep"),
    "ganad_tf>UpStep": ("ganad_tf.networks.generator", "UpStep"),
    "ganad_tf>Discriminator": ("ganad_tf.networks.discriminator", "Discriminator"),
    "ganad_tf>EfficientNetLite0": ("ganad_tf.networks.efficientnet_lite", "EfficientNetLite0"),
    "ganad_tf>InvertedResidual": ("ganad_tf.networks.efficientnet_lite", "InvertedResidual"),
    "ganad_tf>DualDiscriminatorGAN": ("ganad_tf.training.model", "DualDiscriminatorGAN"),
}


def register() -> None:
    """Registers the classes, now or when Keras is imported."""
    if "keras" in sys.modules and hasattr(sys.modules["keras"], "saving"):
        _register_now(sys.modules["keras"])
    else:
        sys.meta_path.insert(0, _RegisterAfterKeras())


def _register_now(keras: ModuleType) -> None:
    known = keras.saving.get_custom_objects()
    for name, (module, class_name) in CLASSES.items():
        # Modules that were imported earlier have registered their classes themselves.
        known.setdefault(name, _stand_in(module, class_name))


def _stand_in(module: str, class_name: str) -> type:
    """What Keras finds under a registered name until the class itself is imported."""

    def from_config(config: dict[str, Any]) -> Any:
        return getattr(importlib.import_module(module), class_name).from_config(config)

    return type(class_name, (), {"from_config": staticmethod(from_config)})


class _RegisterAfterKeras:
    """An import hook: lets Keras be imported in the usual way, then registers our classes.

    It has the method of `importlib.abc.MetaPathFinder`, whose import would take as long as all of
    `ganad_tf`.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> "ModuleSpec | None":
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec("keras")
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                _register_now(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
