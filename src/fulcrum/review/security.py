"""Who may talk to the review page: a browser on this machine that was given the address, from the page itself.

The page decides what a model is told, so that any other page in the same browser is an attacker:

- *DNS rebinding*: a request must name this machine as its host.
- *Other users and programs of the machine*: every request, for static files too, needs the token.
- *Cross-site requests*: the cookie is `SameSite=Strict`; a form must come from this origin and hold the CSRF token.
- *Text of models that gets past the escaping*: the Content-Security-Policy runs no script but two files of ours, and
  loads nothing from anywhere else.
"""

import hashlib
import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 256 * 1024
"""Most bytes of a form: the longest strategy is a fiftieth of it."""

_FORM = "application/x-www-form-urlencoded"
_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: with that, browsers send a form of our own with `Origin: null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

# No redirect: one that began on another site, such as a terminal in a web page, would not carry a strict cookie.
_WELCOME = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">
<link rel="icon" href="/static/icon.svg"><title>Fulcrum review</title>
<p><a href="/">Go on to the review</a></p></html>"""


class Secrets:
    """What the address, the cookie and the forms prove, all from one random token.

    Args:
        token: unguessable, such as `secrets.token_urlsafe()`.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.cookie = self._derived("cookie")
        self.csrf = self._derived("csrf")

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


class Guard:
    """Middleware that refuses every request that breaks a rule above, and hands the fields of a form on.

    The fields of a `POST` are in `request.state.fields`, as `dict[str, list[str]]`.
    """

    def __init__(self, app: ASGIApp, secrets: Secrets) -> None:
        self._app = app
        self._secrets = secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            answer = await self._refuse(scope, receive) or self._app
            await answer(scope, receive, _with_headers(send))

    async def _refuse(self, scope: Scope, receive: Receive) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name_of(host) not in _HOSTS:
            return _no("this page answers only as 127.0.0.1 or localhost; open the address that the terminal printed")
        port = (scope.get("server") or ("", 0))[1]
        name = f"fulcrum-review-{port}"  # cookies of one host are shared by all its ports
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        if scope["method"] in ("GET", "HEAD") and _same(given, self._secrets.token):
            welcome = HTMLResponse(_WELCOME)
            welcome.set_cookie(name, self._secrets.cookie, httponly=True, samesite="strict")
            return welcome
        if not _same(_cookies(headers).get(name, ""), self._secrets.cookie):
            return _no("this page needs the token in the address that the terminal printed; open that address")
        if scope["method"] in ("GET", "HEAD"):
            return None
        return await self._refuse_form(scope, receive, headers, host)

    async def _refuse_form(self, scope: Scope, receive: Receive, headers: Headers, host: str) -> Response | None:
        if headers.get("origin") != f"http://{host}":
            return _no("a form is taken only from this page itself")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            return _no(f"a form is sent as {_FORM}", 415)
        body = await _body(receive)
        if body is None:
            return _no(f"a form has at most {BODY_LIMIT} bytes", 413)
        try:
            fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=500)
        except ValueError:
            return _no("this is no form in UTF-8", 400)
        if not _same(fields.get("csrf", [""])[-1], self._secrets.csrf):
            return _no("the form's token is not of this session; load the page again, then send it")
        scope.setdefault("state", {})["fields"] = fields
        return None


def _no(text: str, status: int = 403) -> Response:
    return PlainTextResponse(f"fulcrum review: {text}\n", status)


def _name_of(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdecimal() else host.lower()


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())


def _cookies(headers: Headers) -> Mapping[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request, or None if it is too long or was broken off."""
    body = b""
    while len(body) <= BODY_LIMIT:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body if len(body) <= BODY_LIMIT else None
    return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return sending
