"""Every command in the README, the docs and the recipes is understood; tests/models/test_pages.py runs them."""

import json
import re
import shlex
import tomllib
from importlib.metadata import distributions
from operator import attrgetter
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from fulcrum.cli.main import application
from fulcrum.recipe import read_recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [re.sub(r"\s+# .*", "", line) for line in lines if line.startswith("fulcrum ")]


COMMANDS = [(page.name, command) for page in PAGES for command in commands(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_command_in_a_page_is_understood(page: str, command: str) -> None:
    application().parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)


def test_pages_hold_commands() -> None:
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize("target", ["demo", "test", "quick", "lint", "docs", "bench", "format", "slim"])
def test_the_makefile_has_what_the_pages_name(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_read_and_says_what_to_expect(path: Path) -> None:
    recipe = read_recipe(path)
    assert read_recipe(path, quick=True).method.name == recipe.method.name
    comment = path.read_text(encoding="utf-8").split("method =")[0]
    assert comment.startswith("#") and "minutes" in comment


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_short_version_makes_no_count_larger_and_is_in_the_lab_the_methods_own(path: Path) -> None:
    recipe, short = read_recipe(path), read_recipe(path, quick=True)
    own = read_recipe(path, {f"settings.{key}": text for key, text in recipe.method.quick.items()})
    if "-lab-" in path.name:
        assert short.settings == own.settings
    else:
        for key in recipe.method.quick:
            now, then = (attrgetter(key)(one.settings) for one in (recipe, short))
            assert type(now) is not int or then <= now, key


def test_the_short_version_takes_what_is_smaller_of_the_recipes_and_the_methods_own() -> None:
    support = read_recipe(ROOT / "recipes" / "strategies-support-openai.toml", quick=True)
    sizes = ("rounds", "dialogues", "requests", "trial_dialogues", "gap_dialogues", "effect_dialogues")
    assert [getattr(support.settings, size) for size in sizes] == [2, 24, 32, 32, 0, 0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_stands_on_the_page_with_the_command_that_made_it(path: Path) -> None:
    page = (ROOT / "docs" / "reproducing.md").read_text(encoding="utf-8").replace(" &&\n  ", " && ")
    listed = dict(re.findall(r"\*\*`([\w.-]+)`\*\*:[^\n]+\n\n```text\n(.*?)\n```", page, flags=re.DOTALL))
    assert listed[path.name] == json.loads(path.read_text(encoding="utf-8"))["command"]
    assert set(listed) == {result.name for result in RESULTS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_results_that_a_page_names_are_there(page: Path) -> None:
    names = set(re.findall(r"[a-z0-9][\w-]+\.json(?!l)", page.read_text(encoding="utf-8")))
    known = {result.name for result in RESULTS}
    stems = tuple(f"{path.stem.split('-')[0]}-" for path in RESULTS)
    assert not {name for name in names if name.startswith(stems) and name not in known}


def test_every_pinned_package_runs_on_the_oldest_python_that_is_promised() -> None:
    """A pin that wants 3.11.5 fails to install on a machine with 3.11.2, which is what some systems bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    wanted = {f"{one.metadata['Name']} {one.version}": one.metadata["Requires-Python"] for one in distributions()}
    assert len(wanted) > 50
    assert not [name for name, python in wanted.items() if python and not SpecifierSet(python).contains(oldest)]
