"""What all pages share: the frame around them, the reviewer's name, and the fields of forms."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fulcrum.errors import FulcrumError
from fulcrum.review.security import Secrets
from fulcrum.review.show import templates
from fulcrum.strategies.records import one_line

_NAME = "fulcrum-reviewer"
_NAME_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Site:
    """The frame of every page.

    Attributes:
        title: what is reviewed: the name of the run.
        reviewer: whose name decisions carry until a browser gives another one.
        secrets: hold the CSRF token of forms.
        sections: address -> name of each part of the site.
    """

    title: str
    reviewer: str
    secrets: Secrets
    sections: dict[str, str]

    def page(self, request: Request, template: str, status: int = 200, **content: Any) -> Response:
        """Return a page of the site."""
        html = templates().get_template(template)
        frame = {
            "site": self,
            "csrf": self.secrets.csrf,
            "who": self.who(request),
            "here": "/" + request.url.path.split("/")[1],
        }
        return HTMLResponse(html.render(frame | content).encode("utf-8", "replace"), status)

    def who(self, request: Request) -> str:
        """Return the name that this browser's decisions carry."""
        return one_line(unquote(request.cookies.get(_NAME, "")))[:_NAME_LIMIT] or self.reviewer

    def rename(self, request: Request) -> Response:
        """Let this browser's decisions carry another name."""
        response = see_other("/")
        name = one_line(Fields(request).text("name"))[:_NAME_LIMIT]
        response.set_cookie(_NAME, quote(name, safe=""), httponly=True, samesite="strict", max_age=31_536_000)
        return response

    def missing(self, request: Request, error: Exception) -> Response:
        """Say that there is no such page, or that a request makes no sense."""
        assert isinstance(error, HTTPException)
        return self.page(request, "problem.html", error.status_code, text=error.detail)

    def broken(self, request: Request, error: Exception) -> Response:
        """Say that the run cannot be read or written."""
        assert isinstance(error, FulcrumError)
        return self.page(request, "problem.html", 500, text=str(error))


class Fields:
    """The fields of the form in a request, which `Guard` has read.

    Args:
        request: a `POST`.
    """

    def __init__(self, request: Request) -> None:
        self._fields: dict[str, list[str]] = request.state.fields

    def text(self, name: str) -> str:
        """Return a field; empty if the form has none of that name."""
        return self.texts(name)[-1] if self.texts(name) else ""

    def texts(self, name: str) -> list[str]:
        """Return every value of a field, with the line ends that a model writes: a browser sends CR LF."""
        return [value.replace("\r\n", "\n") for value in self._fields.get(name, [])]

    def number(self, name: str) -> int:
        """Return a whole number.

        Raises:
            HTTPException: it is none; only a form that is not ours sends that.
        """
        text = self.text(name)
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            raise HTTPException(400, f"{name}: a number is needed")
        return int(text)


def see_other(address: str) -> RedirectResponse:
    """Send the browser on after a form, so that loading the page again sends nothing twice."""
    return RedirectResponse(address, 303)
