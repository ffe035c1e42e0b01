"""README and docs: links lead somewhere, commands have the flags they show, messages exist."""

import argparse
import ast
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ganad_tf.commands import ganad
from ganad_tf.settings.flags import config_from_flags
from ganad_tf.settings.names import COMPONENTS, RECIPES, SYNTHETIC_KINDS

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
# Commands that name what a reader has, and where it comes from in a checkout.
COMMANDS = {
    "train.py": "ganad_tf.commands.train",
    "-m export": "export.__main__",
    "-m export.verify": "export.verify",
    "-m export.batch": "export.batch.__main__",
    "-m export.serving.client": "export.serving.client",
    "-m export.recalibrate": "export.recalibrate",
    "-m export.web": "export.web.__main__",
    "runtime.py": "export.runtime",
    "export/runtime.py": "export.runtime",
}
MAX_PAGE_LINES = 200
# Tables of all that was measured, and of all that was changed.
LONG_PAGES = ("docs/fashion_mnist.md", "CHANGELOG.md")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose_of(name: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(name), flags=re.DOTALL | re.MULTILINE)


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(str(path.relative_to(ROOT))), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in kept}


def links(name: str) -> Iterator[str]:
    """Targets of links and pictures, those of other sites left out."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(name)):
        if not re.match(r"[a-z]+:", target):
            yield target


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_and_headings(name):
    page = ROOT / name
    for target in links(name):
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in anchors(path), f"{name}: {target}; there are {sorted(anchors(path))}"


def test_every_page_is_on_the_map():
    mapped = {target for target in links("README.md") if target.startswith("docs/")}
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= mapped


def test_pages_are_short():
    for name in set(NAMES) - set(LONG_PAGES):
        assert len(text_of(name).splitlines()) <= MAX_PAGE_LINES, name


@pytest.mark.parametrize("name", NAMES)
def test_no_page_names_a_place_on_somebodys_machine(name):
    assert not re.search(r"(?<![\w.])/(home|root|tmp|work|Users|opt)/", text_of(name))


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every line of a shell block, and every inline command of ours: page, words."""
    for name in NAMES:
        blocks = re.findall(r"^```sh\n(.*?)^```$", text_of(name), re.DOTALL | re.MULTILINE)
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        lines += re.findall(r"`((?:python|ganad) [^`]+)`", prose_of(name).replace("\n", " "))
        for line in lines:
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                while words and re.match(r"[A-Z_]+=", words[0]):
                    del words[0]
                if words:
                    yield name, words


def arguments_of(words: list[str]) -> tuple[str, list[str]] | None:
    """The module that a command of ours runs, and its arguments; None for other programs."""
    if words[0] == "ganad":
        command = ganad.COMMANDS.get(words[1]) if words[1:] else None
        assert command or words[1:] in ([], ["--help"]), f"expected a subcommand: {words}"
        return command and (command.module, words[2:])
    if Path(words[0]).name not in ("python", "python3") or len(words) < 2:
        return None
    count = 3 if words[1] == "-m" else 2
    module = COMMANDS.get(" ".join(words[1:count]))
    return None if module is None else (module, words[count:])


OURS = [
    pytest.param(*found, id=f"{name}: {' '.join(words)}"[:90])
    for name, words in commands()
    if (found := arguments_of(words))
]


class Parsed(Exception):
    """The command line was accepted."""


@pytest.mark.parametrize(("module", "words"), OURS)
def test_commands_have_the_flags_that_they_show(module, words, monkeypatch, capsys):
    if not words:
        return  # the name of a command, in a sentence

    def stopping(parse):
        def stop(parser, args=None, namespace=None):
            raise Parsed(parse(parser, args, namespace))

        return stop

    for name in ("parse_args", "parse_intermixed_args"):
        parse = getattr(argparse.ArgumentParser, name)
        monkeypatch.setattr(argparse.ArgumentParser, name, stopping(parse))
    monkeypatch.setattr(sys, "argv", [module, *words])
    try:
        importlib.import_module(module).main()
    except Parsed as parsed:
        if module == COMMANDS["train.py"] and "RUN" not in words:
            config_from_flags(vars(parsed.args[0]))
    except SystemExit as stopped:
        if stopped.code:
            pytest.fail(f"{module} {words}: {capsys.readouterr().err}")


def test_benchmarks_that_are_named_exist():
    for name, words in commands():
        if words[:2] == ["python", "-m"] and words[2].startswith("benchmarks."):
            path = ROOT / (words[2].replace(".", "/") + ".py")
            if path.with_suffix("").is_dir():
                path = path.with_suffix("") / "__main__.py"
            assert path.is_file(), f"{name}: {words}"
            source = path.read_text(encoding="utf-8")
            for word in words[3:]:
                flag = word.startswith("--")
                assert not flag or f'"{word}"' in source, f"{name}: {words}"
            # Where nothing is given, nothing may be needed.
            if len(words) == 3 and "add_subparsers" not in source:
                needs = re.findall(r"add_argument\(\s*\"[a-z]\w*\",[^)]*\)", source)
                optional = [one for one in needs if re.search(r'nargs="[*?]"', one)]
                assert needs == optional, f"{name}: {words} lacks {needs}"


@cache
def messages() -> tuple[str, ...]:
    """Every string of the library and of export; what is filled in stands as `...`."""
    found = []
    for folder in ("ganad_tf", "export"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [v.value if isinstance(v, ast.Constant) else "..." for v in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return tuple(found)


def shown_messages() -> list[str]:
    rows = re.findall(r"^\| (`+ ?.+?`+) \|", text_of("docs/troubleshooting.md"), re.MULTILINE)
    return [row.strip("`").removesuffix(" ") for row in rows]


@pytest.mark.parametrize("message", shown_messages())
def test_messages_of_the_troubleshooting_page_exist(message):
    pieces = [piece for piece in message.split("...") if piece.strip(" :,]")]
    pattern = re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)
    assert any(pattern.search(text) for text in messages())


def table_names(page: str, heading: str) -> set[str]:
    """The names in backticks in the first column of the tables below a heading."""
    section = text_of(page).split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_all_components_recipes_and_kinds_are_explained():
    names = table_names("docs/scores_and_thresholds.md", "The score")
    assert names == {*COMPONENTS, *RECIPES}
    assert table_names("docs/method.md", "Synthetic anomalies") == set(SYNTHETIC_KINDS)


def test_files_that_are_named_exist():
    pattern = r"`((?:ganad_tf|export|tests|benchmarks|docker)/[\w./]+)`"
    for name in NAMES:
        for path in re.findall(pattern, prose_of(name)):
            assert (ROOT / path).exists(), f"{name}: {path}"
