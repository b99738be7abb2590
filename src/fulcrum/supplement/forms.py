"""The forms of a supplement, and the first line by which a machine can tell them: `[[form: pairs]]`."""

import re
from dataclasses import dataclass

FORMS = {
    "answer": "the answer that you believe to be right",
    "background": "facts and definitions that the question takes for granted",
    "cot": "the steps of thought that lead to the answer",
    "rephrase": "the question again, in plainer words",
    "summary": "the question in a few words: what is given and what is asked",
    "mistakes": "mistakes that are easily made here, and how to avoid them",
    "one_shot": "a similar question with its answer worked out",
    "pairs": "right and wrong statements side by side",
}
"""The eight forms of the paper, each with what it holds."""

FREE = "free"
"""Not a form but a request: whatever form the generator chooses. A text without a first line counts as this form."""

OWN = "own"
"""A request: a form outside the list, of the generator's own invention (the paper's `ood`)."""

CONCAT = "concat"
"""Not asked of the generator: two supplements that helped, one after the other."""

NONE = "none"
"""The form of saying nothing: the actor is asked as if there were no generator."""

_HEADER = re.compile(r"\s*\[\[\s*form\s*:\s*(?P<form>[\w+ -]{1,40}?)\s*\]\][ \t]*(?:\r?\n|$)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Supplement:
    """A text for the actor.

    Attributes:
        form: one of `FORMS`, a name of the generator's own, two names joined by `+`, `free` or `none`.
        body: the text below the first line; empty if, and only if, the form is `none`.
    """

    form: str
    body: str

    @property
    def family(self) -> str:
        """The form, or `concat` or `own` for all forms of those kinds: each of these counts as one form among many."""
        if self.form in FORMS or self.form in (FREE, NONE):
            return self.form
        return CONCAT if "+" in self.form else OWN

    @property
    def text(self) -> str:
        """The supplement with its first line, as the generator learns to write it and as the actor reads it."""
        if self.form == FREE:
            return self.body
        return f"{header(self.form)}\n{self.body}".rstrip()


NOTHING = Supplement(NONE, "")


def header(form: str) -> str:
    """Return the first line of a supplement."""
    return f"[[form: {form}]]"


def read_supplement(text: str, asked: str = FREE) -> Supplement:
    """Return the supplement that a generator wrote.

    Args:
        text: what it wrote.
        asked: the form that it was asked for; a text without a first line is taken to be in it.

    A text that has nothing below its first line, or names the form `none`, is the form `none`.
    """
    match = _HEADER.match(text)
    body = text[match.end() :].strip() if match else text.strip()
    unnamed = FREE if asked == OWN else asked
    form = re.sub(r"\s+", "_", match["form"].strip().lower()) if match else unnamed
    return NOTHING if form == NONE or not body else Supplement(form, body)


def concatenate(first: Supplement, second: Supplement) -> Supplement:
    """Return two supplements as one, its form named after both."""
    return Supplement(f"{first.form}+{second.form}", f"{first.body}\n{second.body}")
