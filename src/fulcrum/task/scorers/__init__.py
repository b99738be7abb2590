"""Scorers: how an answer is compared with a target. One kind a file; the class is its own settings."""

from fulcrum.errors import SettingsError
from fulcrum.settings import Document, nearest, read_settings
from fulcrum.task.scorers.choice import ChoiceScorer
from fulcrum.task.scorers.exact import ExactScorer
from fulcrum.task.scorers.json import JsonScorer
from fulcrum.task.scorers.judge import JudgeScorer
from fulcrum.task.scorers.number import NumberScorer
from fulcrum.task.scorers.python import PythonScorer
from fulcrum.task.scorers.scorer import ConfiguredScorer
from fulcrum.task.scorers.sql_rows import SqlRowsScorer

SCORERS: dict[str, type[ConfiguredScorer]] = {
    scorer.kind: scorer
    for scorer in (ChoiceScorer, ExactScorer, JsonScorer, JudgeScorer, NumberScorer, PythonScorer, SqlRowsScorer)
}
"""Every kind that a task file can name."""


def make_scorer(kind: str, settings: Document) -> ConfiguredScorer:
    """Return a scorer of this kind.

    Args:
        kind: one of `SCORERS`.
        settings: the settings of that kind, and where they stand.

    Raises:
        SettingsError: no such kind, or a setting of it is unknown or cannot work.
    """
    if kind not in SCORERS:
        known = ", ".join(SCORERS)
        raise SettingsError(
            f"{settings.origin(('kind',))}: no scorer {kind!r}{nearest(kind, list(SCORERS))}; there are {known}"
        )
    return read_settings(SCORERS[kind], settings)


__all__ = [
    "SCORERS",
    "ChoiceScorer",
    "ConfiguredScorer",
    "ExactScorer",
    "JsonScorer",
    "JudgeScorer",
    "NumberScorer",
    "PythonScorer",
    "SqlRowsScorer",
    "make_scorer",
]
