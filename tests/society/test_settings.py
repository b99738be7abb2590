"""Settings that cannot work are refused when they are read."""

from typing import Any

import pytest
from pydantic import ValidationError

from fulcrum.society.settings import DebateSettings, SocietySettings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"debate": {"summarise": "{prompt} {answer}"}}, "must show {answers} and {prompt}"),
        ({"debate": {"update": r"Use \boxed{}: {summary}"}}, "double other braces|not a field name"),
        ({"debate": {"update": "Think again."}}, "must show {summary}"),
        ({"debate": {"agents": 1}}, "nobody to vote with"),
        ({"serve": "distilled"}, "set distil to true"),
        ({"arms": ["societies"]}, "society"),
        ({"w": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SocietySettings.model_validate(settings)


def test_the_defaults_are_the_papers() -> None:
    settings = SocietySettings()
    assert (settings.debate.agents, settings.debate.rounds, settings.iterations, settings.questions) == (3, 2, 1, 500)
    assert (settings.debate.temperature, settings.debate.top_p, settings.w) == (1.0, 0.9, 0.5)
    assert (settings.start, settings.critic_loss, settings.tie, settings.min_margin) == (
        "previous",
        "final",
        "random",
        0,
    )
    assert DebateSettings().calls == 9
