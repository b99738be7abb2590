"""A library as a page for people, and the difference between two versions of a strategy."""

import difflib
import re
from collections.abc import Sequence

from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.records import STATUSES, Advice

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-!|~:.])")
FIELDS = ("scenario", "when", "do", "avoid", "why", "level")


def to_markdown(strategies: Sequence[Strategy], title: str = "Strategies") -> str:
    """Return strategies as Markdown, a section a status; text of models is shown as text, whatever it holds."""
    parts = [f"# {escape(title)}"]
    for status in STATUSES:
        chosen = [strategy for strategy in strategies if strategy.status == status]
        if chosen:
            parts += [f"## {status.capitalize()} ({len(chosen)})", *(_section(strategy) for strategy in chosen)]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is."""
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", entities)


def diff(before: Advice, after: Advice) -> list[str]:
    """Return what changed as lines of a unified diff, a field a line; empty if nothing did."""
    changes = difflib.unified_diff(_lines(before), _lines(after), lineterm="", n=len(FIELDS))
    return [line for line in changes if not line.startswith(("---", "+++", "@@"))]


def _lines(advice: Advice) -> list[str]:
    return [f"{name}: {getattr(advice, name)}" for name in FIELDS]


def _section(strategy: Strategy) -> str:
    advice = strategy.advice
    rows = [
        f"### {strategy.id} (version {strategy.version}, {advice.level})",
        *(
            f"- **{name}**: {escape(getattr(advice, name))}"
            for name in ("scenario", "when", "do", "avoid", "why")
            if getattr(advice, name)
        ),
    ]
    for effect in strategy.effects.values():
        rows.append(
            f"- **effect, {escape(effect.measure)}**: {effect.estimate:+.3f} "
            f"[{effect.low:+.3f}, {effect.high:+.3f}], {effect.n} pairs"
        )
    rows += [
        f"- **{found.severity}, {escape(found.check)}**: {escape(found.text)}" for found in strategy.findings or ()
    ]
    if decided := strategy.decided:
        rows.append(f"- **{decided.kind}** by {escape(decided.who)}, {escape(decided.at)}: {escape(decided.reason)}")
    if strategy.merged_into:
        rows.append(f"- **merged into** {strategy.merged_into}")
    if strategy.parents:
        rows.append(f"- **from** {', '.join(strategy.parents)}")
    return "\n".join([rows[0], "", *rows[1:]])
