from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from fulcrum.errors import SettingsError
from fulcrum.settings import Document, Settings, read_document, read_settings


class Inner(Settings):
    rounds: int = Field(default=5, ge=1)
    trainer: Literal["sft", "dpo"] = "dpo"


class Outer(Settings):
    task: str
    inner: Inner = Inner()
    models: dict[str, str] = Field(default_factory=dict[str, str])
    named: dict[str, Inner] = Field(default_factory=dict[str, Inner])


def read(tmp_path: Path, text: str, flags: dict[str, str] | None = None) -> Outer:
    path = tmp_path / "r.toml"
    path.write_text(text)
    document = read_document(path)
    document.override(flags or {})
    return read_settings(Outer, document)


def test_every_problem_is_named_at_once_with_its_line_or_flag(tmp_path: Path) -> None:
    text = 'task = "x"\nretries = 3\n\n[inner]\nround = 2\ntrainer = "dpoo"\n'
    with pytest.raises(SettingsError) as raised:
        read(tmp_path, text, {"inner.rounds": "0"})
    path = tmp_path / "r.toml"
    assert sorted(str(raised.value).splitlines()) == sorted(
        [
            "--inner.rounds: inner.rounds: 0 given; input should be greater than or equal to 1",
            f"{path}:5: inner.round: no such key; did you mean 'rounds'?",
            f"{path}:6: inner.trainer: \"dpoo\" is not allowed; allowed: 'sft', 'dpo'; did you mean 'dpo'?",
            f"{path}:2: retries: no such key; known here: task, inner, models, named",
        ]
    )


def test_flags_win_over_the_file_and_keep_their_type(tmp_path: Path) -> None:
    text = 'task = "x"\n[inner]\nrounds = 2\n'
    flags = {"inner.rounds": "7", "models.actor": "http://localhost:8000/v1#m", "task": "lab:sql?seed=7"}
    outer = read(tmp_path, text, flags)
    assert (outer.inner.rounds, outer.task) == (7, "lab:sql?seed=7")
    assert outer.models == {"actor": "http://localhost:8000/v1#m"}


def test_a_missing_key_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"r\.toml: task: is missing|task: is missing"):
        read(tmp_path, "[inner]\n")
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(SettingsError, match=r"no such file; did you mean 'recipe\.toml'\?"):
        read_document(tmp_path / "recipes.toml")


def test_malformed_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"r\.toml:2: not TOML"):
        read(tmp_path, 'task = "x"\nrounds == 3\n')


def test_a_flag_cannot_go_below_a_value(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'task' is a value, not a table"):
        read(tmp_path, 'task = "x"\n', {"task.name": "y"})


@given(st.text(), st.dictionaries(st.text("abc.", min_size=1, max_size=5), st.text(max_size=5), max_size=3))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str, flags: dict[str, str]) -> None:
    path = tmp_path_factory.mktemp("toml") / "any.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        document = read_document(path)
        document.override(flags)
        read_settings(Outer, document)
    except SettingsError as error:
        assert str(error)


def test_a_table_still_knows_where_its_keys_stand(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('task = "x"\n[inner]\nrounds = 0\n')
    with pytest.raises(SettingsError, match=r"r\.toml:3: rounds: 0 given"):
        read_settings(Inner, read_document(path).table("inner"))
    assert Document().table("inner").data == {}


def test_keys_below_a_name_of_the_users_own_are_known(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"r\.toml:3: named\.mine\.round: no such key; did you mean 'rounds'\?"):
        read(tmp_path, 'task = "x"\n[named."mine"]\nround = 2\n')


def test_a_flag_below_an_unknown_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--inner\.deep\.er: inner\.deep: no such key"):
        read(tmp_path, 'task = "x"\n[inner]\nrounds = 2\n', {"inner.deep.er": "1"})
