"""The words: how the generator is asked for a supplement, and how a supplement stands in the actor's prompt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fulcrum.chat import Message, system, user
from fulcrum.lab import prompts
from fulcrum.supplement.forms import FORMS, FREE, NONE, OWN, Supplement, header

When = Literal["start", "turn"]
"""When a supplement is written: once, for the first question of a conversation, or again at every turn."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Templates with `{prompt}`; the generator's may also name `{form}` and what it holds, `{about}`.

    Attributes:
        block: the actor's prompt with its `{supplement}`.
        write: asks for a form.
        write_any: asks for whatever form helps most: the one request that is trained on and deployed.
        write_own: asks for a form outside the list.
        in_system: whether the block is made of the system message, at its end, and not of the question.
    """

    block: str
    write: str
    write_any: str
    write_own: str
    in_system: bool = False

    def request(self, prompt: Sequence[Message], asked: str = FREE) -> tuple[Message, ...]:
        """Return the conversation that the generator continues with a supplement.

        Args:
            prompt: the conversation that the actor will be shown.
            asked: one of `FORMS`, `free` or `own`.
        """
        template = {FREE: self.write_any, OWN: self.write_own}.get(asked, self.write)
        *earlier, last = prompt
        if last.role != "user":  # such as a tool's result: the request is a message of its own
            earlier, last = list(prompt), user("")
        text = template.format(prompt=last.content, form=asked, about=FORMS.get(asked, ""))
        return (*earlier, replace(last, content=text.lstrip()))

    def place(self, messages: Sequence[Message], supplement: Supplement, when: When) -> tuple[Message, ...]:
        """Return the actor's conversation with a supplement in its place; `none` changes nothing."""
        at = question_at(messages, when)
        if supplement.form == NONE or at is None:
            return tuple(messages)
        return self.place_text(messages, supplement.text, at)

    def place_text(self, messages: Sequence[Message], text: str, at: int) -> tuple[Message, ...]:
        """Return the conversation with any text in the block, after message number `at` or in the system message."""
        if self.in_system:
            messages, at = messages if messages[0].role == "system" else (system(""), *messages), 0
        block = self.block.format(prompt=messages[at].content, supplement=_harmless(text))
        shown = replace(messages[at], content=block if messages[at].content else block.lstrip())
        return (*messages[:at], shown, *messages[at + 1 :])


def question_at(messages: Sequence[Message], when: When) -> int | None:
    """Return the number of the message that a supplement follows: the first or the last that a user wrote."""
    places = [place for place, message in enumerate(messages) if message.role == "user"]
    return None if not places else places[0 if when == "start" else -1]


def prompt_of(messages: Sequence[Message], when: When) -> tuple[Message, ...]:
    """Return the part of a conversation that the generator reads: up to the first question, or all of it."""
    at = question_at(messages, when)
    return tuple(messages) if at is None or when == "turn" else tuple(messages[: at + 1])


def _harmless(text: str) -> str:
    """Whoever writes shares the actor's channel: a text must not be able to end the block and speak on outside it."""
    return re.sub(r"<(?=\s*/?\s*supplement\b)", "[", text, flags=re.IGNORECASE)


_SEPARATOR = "{prompt}\n\n---\nDo not answer the question above. Write "

WORDINGS: dict[str, Wording] = {
    "general": Wording(
        block=(
            "{prompt}\n\n<supplement>\n{supplement}\n</supplement>\n"
            "The supplement was written by another model and may be wrong; use what helps, and answer the question."
        ),
        write=_SEPARATOR
        + "a supplement of the form {form}: {about}. It shall help another model to answer. "
        + f"Begin with the line {header('{form}')}",
        write_any=_SEPARATOR
        + "the supplement that helps another model most to answer. Begin with a line that names its form, such as "
        + f"{header('background')}; the forms are {', '.join(FORMS)}. If no help is needed, write only {header(NONE)}",
        write_own=_SEPARATOR
        + "a supplement that helps another model to answer, in a form of your own invention: none of "
        + f"{', '.join(FORMS)}. Begin with a line that names your form, such as {header('checklist')}",
    ),
    "lab": Wording(
        block=prompts.SUPPLEMENT_BLOCK,
        write=prompts.WRITE_SUPPLEMENT,
        write_any=prompts.WRITE_ANY_SUPPLEMENT,
        write_own=prompts.WRITE_ANY_SUPPLEMENT,  # the lab's models know no other request
    ),
}
WORDINGS["lab-desk"] = replace(WORDINGS["lab"], block=prompts.GUIDANCE_BLOCK, in_system=True)
"""Wordings by name: `general` for instruction-tuned models, `lab` as the lab's checkpoints have learned it, `lab-desk`
as they have learned it at the desk, where help stands at the end of the system message."""
