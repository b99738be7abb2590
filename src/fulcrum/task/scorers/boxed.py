r"""The content of `\boxed{...}`."""

import re

_BRACE = re.compile(r"(?P<box>\\boxed\s*\{)|\\[{}]|(?P<open>\{)|(?P<close>\})")


def last_boxed(text: str) -> str | None:
    r"""Return what stands in the last closed `\boxed{...}` of a text, braces nested as they may be; None if none.

    >>> last_boxed(r"so \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    last: tuple[int, int] | None = None
    box_starts: list[int | None] = []
    for brace in _BRACE.finditer(text):
        if brace["box"]:
            box_starts.append(brace.end())
        elif brace["open"]:
            box_starts.append(None)
        elif brace["close"] and box_starts:
            start = box_starts.pop()
            if start is not None and (last is None or start > last[0]):
                last = (start, brace.start())
    return text[last[0] : last[1]] if last else None
