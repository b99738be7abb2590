from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.errors import SettingsError
from fulcrum.serving.errors import ApiError
from fulcrum.serving.gate import Gate, read_keys
from fulcrum.serving.split import draw, unit_of


@pytest.mark.parametrize(
    "shown", [None, "", "Bearer", "Bearer wrong", "Basic right", "right", "Bearer right2", "Bearer \udcff"]
)
def test_a_locked_gate_lets_nobody_in_without_a_key(shown: str | None) -> None:
    with pytest.raises(ApiError) as caught, Gate(["right"], 9).admit(shown):
        pass
    assert caught.value.status == 401 and "right" not in caught.value.message.split()


def test_keys_open_it_and_each_has_its_own_limit() -> None:
    gate = Gate(["a", "b"], limit=3, limit_per_key=2)
    with gate.admit("Bearer a"), gate.admit("bearer a"):
        with pytest.raises(ApiError) as caught, gate.admit("Bearer a"):
            pass
        assert caught.value.status == 429 and caught.value.headers == {"retry-after": "1"}
        with gate.admit("Bearer b"), pytest.raises(ApiError) as caught, gate.admit("Bearer b"):
            pass
        assert caught.value.status == 503 and caught.value.headers == {"retry-after": "1"}
    assert gate.inside == 0
    with gate.admit("Bearer a"):
        assert gate.inside == 1


def test_keys_come_from_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\nabc  # of ann\n\ndef\n")
    monkeypatch.setenv("FULCRUM_API_KEYS", "ghi jkl")
    assert read_keys(file) == ["ghi", "jkl", "abc", "def"]
    file.write_text("# none\n")
    with pytest.raises(SettingsError, match="holds no key"):
        read_keys(file)


def body(*contents: str) -> dict[str, object]:
    roles = ["system", "user", "assistant", "user", "assistant"]
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]}


def test_all_turns_of_a_conversation_are_one_unit() -> None:
    first, later = body("be nice", "hello"), body("be nice", "hello", "hi", "and now?")
    assert unit_of(first, {}, "conversation") == unit_of(later, {}, "conversation")
    assert unit_of(first, {}, "conversation") != unit_of(body("be nice", "other"), {}, "conversation")
    named = {"x-fulcrum-conversation": "7"}
    assert unit_of(first, named, "conversation") == unit_of(body("", "other"), named, "conversation")


def test_a_user_is_one_unit_whatever_is_said() -> None:
    assert unit_of({**body("a", "b"), "user": "ann"}, {}, "user") == unit_of({"safety_identifier": "ann"}, {}, "user")
    assert unit_of({"user": "ann"}, {}, "conversation") == unit_of({"user": "bob"}, {}, "conversation")


@given(st.text())
def test_a_unit_keeps_its_arm_when_the_share_grows(unit: str) -> None:
    arms = [draw(unit, share, "x")[1] for share in (0.0, 0.2, 0.5, 1.0)]
    assert arms[0] == "plain" and arms[-1] == "help"
    assert arms == sorted(arms, reverse=True)  # "plain" first, then "help": help is never taken away


def test_arms_get_their_share_and_experiments_are_independent() -> None:
    units = [f"user:{i}" for i in range(4000)]
    first, second = ([draw(unit, 0.3, name)[1] == "help" for unit in units] for name in ("a", "b"))
    assert abs(sum(first) / 4000 - 0.3) < 0.03
    both = sum(a and b for a, b in zip(first, second, strict=True)) / 4000
    assert abs(both - 0.09) < 0.02
