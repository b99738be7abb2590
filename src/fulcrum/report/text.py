"""Text of models made harmless to a reader."""

import re
from dataclasses import dataclass

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
"""What a reader cannot see and a model can hide something with: control characters, marks that turn the direction of
writing, spaces of no width, tags, halves of surrogate pairs. Joiners stay: scripts and emoji need them."""


def visible(text: str) -> str:
    r"""Return `text` with every character that could not be seen replaced by a sign for it; line ends become `\n`.

    >>> visible("a\x00b\u202ec")
    'a␀b⟨U+202E⟩c'
    """
    return _UNSEEN.sub(_sign, text.replace("\r\n", "\n"))


def _sign(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


@dataclass(frozen=True, slots=True)
class Cut:
    """A text, and how many more characters of it the page leaves out."""

    text: str
    left_out: int = 0


def cut(text: str, limit: int) -> Cut:
    """Return the first `limit` characters of a text as the page will show it."""
    shown = visible(text)
    return Cut(shown[:limit], max(0, len(shown) - limit))


_LINE = 40
"""Characters that even an empty text takes up: a million of them would fill the page, too."""


class Allowance:
    """Room for several texts that must not fill the page together.

    Args:
        each: characters that one text may have.
        together: characters that all may have.
    """

    def __init__(self, each: int, together: int) -> None:
        self._each = each
        self._left = together

    @property
    def used_up(self) -> bool:
        """True if no text fits any more."""
        return self._left <= 0

    def take(self, text: str) -> Cut:
        """Return as much of a text as there is room for."""
        taken = cut(text, max(0, min(self._each, self._left)))
        self._left -= max(len(taken.text), _LINE)
        return taken
