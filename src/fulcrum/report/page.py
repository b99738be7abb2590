"""Content -> HTML: one file that loads nothing and runs nothing."""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import fulcrum
from fulcrum.report.text import visible


def render(template: str, **content: Any) -> str:
    """Return a page; every text in `content` is escaped and its unseen characters are made visible."""
    style = _style()
    # The policy allows this very style sheet and nothing else: a text that got past the escaping could load nothing.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    page = _templates().get_template(template)
    return page.render(content, style=Markup(style), policy=policy, version=fulcrum.__version__)


@cache
def _style() -> str:
    return resources.files("fulcrum.report").joinpath("templates/style.css").read_text(encoding="utf-8")


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("fulcrum.report"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _shown(value: Any) -> Any:
    """Make the unseen visible in every text that a template prints, so that no template can forget it."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
