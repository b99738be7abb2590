"""`anchor = "auto"`: write candidates from a few task rows, and choose by what the rows and the model say."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from fulcrum.chat import ChatModel, Request, Sampling, complete, user
from fulcrum.leverage.anchor import Anchor, Place
from fulcrum.leverage.separability import separability
from fulcrum.training.rows import ChatRow

SHOWN_ROWS = 8
"""Task rows from which an anchor is written."""

_FEW_ANSWERS = 8
_SHORT_ANSWER = 24
_KEYWORDS = 4

_REQUEST = """Here are inputs and answers of one task.

{rows}

Write the one instruction that would make an assistant answer such inputs in this way. Name what kind of input it is \
and what the answer must hold. Give the instruction alone, in one sentence, and none of the inputs or answers."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An anchor that could be used, and what speaks for it.

    Attributes:
        text: the anchor.
        written_by: `template`, or `model`.
        separability: AUC of a linear probe that tells task rows with it from general rows, see `separability`.
        dev_loss: nats a token that the untuned model pays for the right answers behind it.
        tokens: what it costs in each row.
    """

    text: str
    written_by: str
    separability: float
    dev_loss: float
    tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        return asdict(self)


def templates(task_name: str, rows: Sequence[ChatRow], general: Sequence[ChatRow]) -> list[str]:
    """Return anchors written without a model: a name, the form of the answers, the words that mark the task.

    Args:
        task_name: from which a short name is taken.
        rows: task rows; the first `SHOWN_ROWS` are read.
        general: what the task's words must differ from.
    """
    shown = rows[:SHOWN_ROWS]
    name = re.sub(r"[\W_]+", " ", task_name.partition("?")[0].lower()).strip()
    form = answer_form([row.response for row in shown])
    words = ", ".join(keywords([_prompt(row) for row in rows], [_prompt(row) for row in general]))
    task, about = f"task: {name}." if name else "", f"about {words}." if words else ""
    written = [task, f"{name}: {form}" if name else "", form, " ".join(part for part in (task, about, form) if part)]
    return list(dict.fromkeys(text for text in written if text))


def answer_form(answers: Sequence[str]) -> str:
    """Return in a sentence what such answers look like, by rule."""
    objects = [_object(answer) for answer in answers]
    if all(one is not None for one in objects):
        keys = list(dict.fromkeys(key for one in objects if one for key in one))
        return f"answer as json with {', '.join(keys)}."
    if all(re.fullmatch(r"-?[\d.,]+", answer.strip()) for answer in answers):
        return "answer with a number."
    kinds = list(dict.fromkeys(answers))
    if len(kinds) <= min(_FEW_ANSWERS, len(answers) - 1) and max(map(len, kinds)) <= _SHORT_ANSWER:
        return f"answer with one of {', '.join(kinds)}."
    length = round(sum(len(answer.split()) for answer in answers) / len(answers))
    return f"answer in about {length} {'word' if length == 1 else 'words'}."


def keywords(ours: Sequence[str], others: Sequence[str], count: int = _KEYWORDS) -> list[str]:
    """Return the words that most task inputs and fewest general inputs hold, by difference of their shares."""

    def shares(texts: Sequence[str]) -> Counter[str]:
        total = Counter[str]()
        for text in texts:
            total.update(set(re.findall(r"[^\W\d_]{3,}", text.lower())))
        return Counter({word: round(1e6 * n / len(texts)) for word, n in total.items()})

    here, there = shares(ours), shares(others)
    telling = [word for word in here if here[word] > there[word]]
    return sorted(telling, key=lambda word: (there[word] - here[word], word))[:count]


def written_by(model: ChatModel, rows: Sequence[ChatRow], count: int, seed: int, max_tokens: int = 120) -> list[str]:
    """Return up to `count` anchors that a model writes after reading a few task rows; failed calls are left out."""
    shown = "\n\n".join(f"Input: {_prompt(row)}\nAnswer: {row.response}" for row in rows[:SHOWN_ROWS])
    sampling = Sampling(1.0, max_tokens=max_tokens, seed=seed)
    prompt = (user(_REQUEST.format(rows=shown)),)
    answers = complete(model, [Request(prompt, sampling, sample=index) for index in range(count)])
    texts = (" ".join(answer.text.split()) for answer in answers if answer.ok)
    return list(dict.fromkeys(text for text in texts if text))


def choose(
    texts: Sequence[tuple[str, str]],
    place: Place,
    rows: Sequence[ChatRow],
    general: Sequence[ChatRow],
    dev_loss: Callable[[Anchor], float],
    tokens: Callable[[str], int],
) -> list[Candidate]:
    """Return the candidates, best first.

    What separates better comes first; of those that separate as well to a hundredth, the one behind which the
    untuned model finds the right answers likelier.

    Args:
        texts: anchors, and who wrote each.
        place: where they stand.
        rows: task rows.
        general: general rows.
        dev_loss: loss of the untuned model on right answers, with an anchor.
        tokens: length of a text.
    """
    others = [_prompt(row) for row in general]

    def candidate(text: str, author: str) -> Candidate:
        anchor = Anchor(text, place)
        ours = [_seen(anchor.row(row), place) for row in rows]
        return Candidate(text, author, separability(ours, others), dev_loss(anchor), tokens(text))

    found = [candidate(text, author) for text, author in texts]
    return sorted(found, key=lambda one: (-round(one.separability, 2), one.dev_loss, one.tokens))


def _prompt(row: ChatRow) -> str:
    return "\n".join(message.content for message in row.prompt)


def _seen(row: ChatRow, place: Place) -> str:
    """Return the text by which a row can be told: an anchor that opens the response is part of it."""
    return f"{_prompt(row)}\n{row.response}" if place == "response" else _prompt(row)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
