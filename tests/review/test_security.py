"""Who may talk to the page: every rule of `fulcrum.review.security`, each broken once."""

import pytest
from starlette.testclient import TestClient

from fulcrum.review.app import review_app
from fulcrum.review.security import BODY_LIMIT
from fulcrum.strategies.library import Library
from review.material import HERE, TOKEN, hidden, visitor

PATHS = ["/", "/strategies", "/strategies/x", "/static/style.css", "/static/review.js", "/nowhere", "/name"]


@pytest.fixture
def client(library: Library) -> TestClient:
    return visitor(review_app(title="run", token=TOKEN, reviewer="ada", library=library))


def decide(client: TestClient, library: Library, headers: dict[str, str] | None = None, **changes: str):
    """Approve the first strategy, with one thing changed."""
    id = library.strategies()[0].id
    page = client.get(f"/strategies/{id}").text
    fields = {"csrf": hidden(page, "csrf"), "revision": hidden(page, "revision"), "status": "approved"} | changes
    return client.post(f"/strategies/{id}/decide", data=fields, headers={"origin": HERE} | (headers or {}))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "?token=", "?token=a-token-for-testx", "?token=%FF"])
def test_nothing_is_answered_without_the_token(library: Library, path: str, token: str) -> None:
    stranger = visitor(review_app(title="run", token=TOKEN, reviewer="ada", library=library), token=False)
    response = stranger.get(path + token)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers and "sorry" not in response.text


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(library: Library) -> None:
    app = review_app(title="run", token=TOKEN, reviewer="ada", library=library)
    response = visitor(app, token=False).get(f"/?token={TOKEN}")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert TOKEN not in cookie and TOKEN not in response.text, "the address's secret goes no further"
    assert visitor(app).get("/strategies").status_code == 200


def test_a_cookie_of_another_start_is_refused(library: Library) -> None:
    old = visitor(review_app(title="run", token="the token of yesterday", reviewer="ada", library=library), token=False)
    old.get("/?token=the token of yesterday")
    new = visitor(review_app(title="run", token=TOKEN, reviewer="ada", library=library), token=False)
    new.cookies = old.cookies
    assert new.get("/strategies").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8710", "evil.example:8710", "", "[::2]:8710"])
def test_a_host_that_is_not_this_machine_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/strategies", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:8710", "LOCALHOST:8710"])
def test_a_forwarded_port_works(client: TestClient, host: str) -> None:
    assert client.get("/strategies", headers={"host": host}).status_code == 200


def test_a_form_of_ours_is_taken(client: TestClient, library: Library) -> None:
    assert decide(client, library).status_code == 303
    assert library.strategies()[0].status == "approved"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"headers": {"origin": "http://evil.example"}}, 403),
        ({"headers": {"origin": "null"}}, 403),
        ({"headers": {"origin": "http://127.0.0.1:9999"}}, 403),
        ({"headers": {"origin": "https://127.0.0.1:8710"}}, 403),
        ({"headers": {"content-type": "text/plain"}}, 415),
        ({"headers": {"content-type": "application/json"}}, 415),
        ({"csrf": ""}, 403),
        ({"csrf": "0" * 64}, 403),
        ({"csrf": TOKEN}, 403),
        ({"reason": "x" * BODY_LIMIT}, 413),
        ({"status": "proposed"}, 400),
        ({"revision": "-1"}, 400),
        ({"revision": "two"}, 400),
    ],
)
def test_a_form_that_breaks_a_rule_changes_nothing(client: TestClient, library: Library, changes, status: int) -> None:
    before = library.path.read_bytes()
    assert decide(client, library, **changes).status_code == status
    assert library.path.read_bytes() == before


def test_a_form_without_an_origin_is_refused(client: TestClient, library: Library) -> None:
    id = library.strategies()[0].id
    page = client.get(f"/strategies/{id}").text
    fields = {"csrf": hidden(page, "csrf"), "revision": "2", "status": "approved"}
    assert client.post(f"/strategies/{id}/decide", data=fields).status_code == 403


@pytest.mark.parametrize("path", ["decide", "edit", "merge", "test"])
def test_looking_never_changes_anything(client: TestClient, library: Library, path: str) -> None:
    before = library.path.read_bytes()
    client.get(f"/strategies/{library.strategies()[0].id}/{path}?status=approved&reason=x")
    assert library.path.read_bytes() == before


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_foreign_scripts_frames_and_sniffing(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" == policy["style-src"]
    assert policy["frame-ancestors"] == "'none'" == policy["base-uri"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "same-origin"


def test_no_page_holds_a_script_or_a_style_of_its_own(client: TestClient, library: Library) -> None:
    one = f"/strategies/{library.strategies()[0].id}"
    for path in ("/strategies", one, f"{one}/edit", f"{one}/merge", f"{one}/history", "/nowhere"):
        html = client.get(path).text
        assert "<script>" not in html and "<style" not in html and " style=" not in html and " onclick" not in html
        assert "http://" not in html and "https://" not in html, "nothing is loaded from elsewhere"


def test_files_outside_static_are_not_served(client: TestClient) -> None:
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404
