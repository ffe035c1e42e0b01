"""How the code is laid out: which module may import which, and how large its pieces may be."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("ganad_tf", "export", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
} | {"train": ROOT / "train.py"}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
LIBRARY = [name for name in FILES if name.split(".")[0] in ("ganad_tf", "export")]

# From top to bottom. A module imports from layers below its own, and from its own package.
LAYERS = (
    ("train", "ganad_tf.__main__"),
    ("ganad_tf.commands",),
    ("ganad_tf.estimator",),
    ("ganad_tf.api",),
    ("ganad_tf.experiment",),
    ("ganad_tf.report",),
    ("ganad_tf.baselines",),
    ("ganad_tf.evaluation", "ganad_tf.training"),
    ("ganad_tf.scoring",),
    ("ganad_tf.plan", "ganad_tf.tracking"),
    ("ganad_tf.calibration",),
    ("ganad_tf.data.load",),
    ("ganad_tf.data.arrays",),
    ("ganad_tf.data.folder", "ganad_tf.data.fashion_mnist"),
    ("ganad_tf.data", "ganad_tf.synthesis", "ganad_tf.run_folder"),
    ("ganad_tf.data.image_files",),
    ("ganad_tf.settings",),
    (
        *("ganad_tf.networks", "ganad_tf.losses", "ganad_tf.preprocessing"),
        *("ganad_tf.atomic_files", "ganad_tf.folder_lock"),
    ),
    (
        *("ganad_tf.console", "ganad_tf.environment", "ganad_tf.errors"),
        *("ganad_tf.keras_classes", "ganad_tf.command_names", "ganad_tf.wording"),
    ),
)

MAX_MODULE_LINES, MAX_CLASS_LINES, MAX_PARAMETERS = 300, 250, 7
# With the reason why each is not divided.
LONG_MODULES = {
    "export.runtime": "one file that can be copied away",
    "ganad_tf.settings.run_config": "a table: one entry for each flag, with its help",
    "ganad_tf.networks.pretrained_weights": "a reader of one foreign format and all its checks",
}
LONG_CLASSES = {"ganad_tf.settings.run_config.RunConfig": "the table itself"}
MAY_PRINT = {
    "ganad_tf.console": "what commands print with",
    "ganad_tf.errors": "run_cli, the frame around every command, prints the error",
}


def imports(name: str, module_level: bool = False) -> set[str]:
    """The modules of ours that a module imports.

    Args:
        name: of the importing module.
        module_level: leaves out imports inside functions and those for type checkers only.
    """
    found = set()
    for node in _nodes(TREES[name], whole=not module_level):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _imported_from(name, node)
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                found.add(inner if inner in FILES else module)
    return found & FILES.keys()


def _imported_from(name: str, node: ast.ImportFrom) -> str:
    """The full name of the module that a `from ... import` names.

    The modules of `export` must import each other relatively: they are `ganad_tf.export` in an
    installation. All others must name the module in full.
    """
    if name.split(".")[0] != "export":
        assert not node.level, f"{name}: expected absolute imports. Received: a relative one"
        return node.module
    if not node.level:
        assert node.module.split(".")[0] != "export", (
            f"{name}: expected relative imports within export. Received: {node.module}"
        )
        return node.module
    package = name.split(".") if FILES[name].name == "__init__.py" else name.split(".")[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *filter(None, [node.module])])


def _nodes(tree: ast.AST, whole: bool) -> Iterator[ast.AST]:
    """All nodes below a tree, or only those that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        yield node
        is_later = isinstance(node, ast.FunctionDef) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        if whole or not is_later:
            yield from _nodes(node, whole)


def layer(name: str) -> tuple[int, str]:
    """The number of a module's layer, from the top, and the innermost package listed there."""
    found = [
        (number, package)
        for number, packages in enumerate(LAYERS)
        for package in packages
        if name == package or name.startswith(f"{package}.")
    ]
    assert found, f"{name} must be in a layer; add its package to LAYERS"
    return max(found, key=lambda place: len(place[1]))


def definitions(kind: type) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Every definition of a kind in the library and benchmarks: its name, itself, its parent."""
    for name, tree in TREES.items():
        for parent in ast.walk(tree):
            for node in ast.iter_child_nodes(parent):
                if isinstance(node, kind):
                    yield f"{name}.{node.name}", node, parent


def test_no_module_imports_itself_through_others():
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"import circle: {' -> '.join((*path, name))}"
        if name in done:
            return
        for target in imports(name, module_level=True):
            # The packages around a module are imported before it, unless the importer is inside.
            parts = target.split(".")
            around = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
            inside = {package for package in around if name.startswith(f"{package}.")}
            for module in sorted((around & FILES.keys()) - inside - {name}):
                visit(module, (*path, name))
        done.add(name)

    for name in FILES:
        visit(name, ())


# ganad_tf.export only says where export/ is.
IN_LAYERS = [n for n in FILES if n.startswith(("ganad_tf.", "train")) and n != "ganad_tf.export"]


@pytest.mark.parametrize("name", IN_LAYERS)
def test_imports_point_downwards(name):
    own, package = layer(name)
    for target in imports(name) - {"ganad_tf"}:
        other, other_package = layer(target)
        assert other > own or other_package == package, f"{name} imports {target}"


def test_the_library_knows_nothing_of_its_export_and_benchmarks():
    for name in FILES:
        for target in imports(name):
            if name.startswith("ganad_tf"):
                assert target.startswith("ganad_tf"), f"{name} imports {target}"
            if name.startswith("export"):
                assert target.startswith(("ganad_tf", "export")), f"{name} imports {target}"


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith(("export", "benchmarks"))])
def test_export_and_benchmarks_do_not_import_the_experiment(name):
    assert not imports(name) & {"train", "ganad_tf.experiment"}


def test_the_page_on_architecture_shows_these_layers():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]*) \|", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(LAYERS) + 1))
    shown = [set(re.findall(r"`([^`]+)`", modules)) for _, modules in rows]
    assert shown == [set(layer) for layer in LAYERS]


@pytest.mark.parametrize("name", LIBRARY)
def test_modules_are_short(name):
    count = len(FILES[name].read_text(encoding="utf-8").splitlines())
    assert count <= MAX_MODULE_LINES or name in LONG_MODULES
    assert count > MAX_MODULE_LINES or name not in LONG_MODULES, "it needs no exception any more"


def test_classes_are_short():
    long = {
        name: node.end_lineno - node.lineno + 1
        for name, node, _ in definitions(ast.ClassDef)
        if node.end_lineno - node.lineno >= MAX_CLASS_LINES
    }
    assert long.keys() == LONG_CLASSES.keys()


def test_functions_take_few_parameters_or_say_why():
    many = {}
    for name, node, parent in definitions(ast.FunctionDef):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = [a.arg for a in arguments if a.arg not in ("self", "cls")]
        docstrings = [ast.get_docstring(node)]
        if node.name == "__init__":
            docstrings.append(ast.get_docstring(parent))
        explained = re.search(r"more\s+than\s+seven", " ".join(filter(None, docstrings)))
        if len(names) > MAX_PARAMETERS and not explained:
            many[name] = names
    assert not many


@pytest.mark.parametrize("name", LIBRARY)
def test_only_commands_print(name):
    text = FILES[name].read_text(encoding="utf-8")
    is_command = 'if __name__ == "__main__":' in text or name.startswith("ganad_tf.commands.")
    prints = [
        node.lineno
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write")
    ]
    assert not prints or is_command or name in MAY_PRINT
