"""The artifact's README: Markdown for people, made into HTML that can do no harm."""

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from fulcrum.report.text import cut, visible

_LIMIT = 30_000
_HIGHEST = 3
"""Level of the card's own title: it stands below a section of the page."""

_WITHOUT = ("link", "image", "autolink", "reference")
"""A card quotes models, so nothing in it may lead out of the page; links stay as they were written."""


def render_card(markdown: str) -> tuple[Markup, int]:
    """Return a card as HTML, and the characters that were left out of a very long one.

    Raw HTML in it is shown as text. Headings begin at level 3 and never skip a level.
    """
    shown = cut(markdown, _LIMIT)
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(_WITHOUT)
    tokens = parser.parse(shown.text)
    _lower_headings(tokens)
    for token in tokens:
        if token.type in ("th_open", "td_open"):
            token.attrs.pop("style", None)  # the page's policy lets no text bring its own style
        if token.type == "th_open":
            token.attrSet("scope", "col")
    # Entities such as &#8238; have become characters only now.
    html = visible(parser.renderer.render(list(_in_scrollers(tokens)), parser.options, {}))
    return Markup(html), shown.left_out


def _lower_headings(tokens: Sequence[Token]) -> None:
    open_ranks: list[int] = []
    for token in tokens:
        if token.type == "heading_open":
            rank = int(token.tag[1])
            while open_ranks and open_ranks[-1] >= rank:
                open_ranks.pop()
            open_ranks.append(rank)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, _HIGHEST - 1 + len(open_ranks))}"


def _in_scrollers(tokens: Sequence[Token]) -> Iterator[Token]:
    """Put each table into a box that scrolls, so that a wide one does not widen the page; the keyboard reaches it."""
    attributes: dict[str, str | int | float] = {
        "class": "scroll",
        "role": "region",
        "aria-label": "Table of the artifact's card",
        "tabindex": "0",
    }
    for token in tokens:
        if token.type == "table_open":
            yield Token("scroller_open", "div", 1, attrs=attributes, block=True)
        yield token
        if token.type == "table_close":
            yield Token("scroller_close", "div", -1, block=True)
