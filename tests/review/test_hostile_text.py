"""Text of models is shown, never interpreted, whatever it holds."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulcrum.review.app import review_app
from fulcrum.review.feedback import Question, Statement, Word
from fulcrum.review.show import LONGEST, shorten, word_changes
from fulcrum.strategies.library import Library
from fulcrum.strategies.records import Advice, Evidence, Finding, Said
from review.material import TOKEN, FakeQueue, questions, visitor

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" autofocus onfocus=alert(1) x="',
    "' hx-get='/strategies' hx-trigger='load' x='",
    "</textarea><form action=//evil.example><button>Approve",
    "</title><base href=//evil.example>",
    "{{ site.secrets.token }} {% include 'x' %}",
    "javascript:alert(1)",
    "&lt;b&gt; &#x3c;script&#x3e;",
    "<!-- --><svg/onload=alert(1)>",
]
TRICKS = "safe\u202egnp.exe \u2066hidden\u2069 \x00\x1b[2J\x7f \ufeff \U000e0041"


class Elements(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: set[tuple[str, frozenset[str]]] = set()
        self.targets: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, frozenset(name for name, _ in attrs)))
        self.targets |= {value or "" for name, value in attrs if name in ("href", "src", "action", "formaction")}


def hostile_library(path: Path, text: str) -> tuple[Library, str]:
    library = Library(path)
    said = Advice(scenario=text, when=text, do=text, avoid=text, why=text)
    evidence = Evidence(
        dialogue=text, messages=(Said(role="user", content=text),), student=text, teacher=text, verdict=text,
        models={"student": text}, prompt=(Said(role="system", content=text),),
    )  # fmt: skip
    strategy = library.propose(said, who=text[:90], reason=text, evidence=evidence)
    library.propose(Advice(scenario=text, do=f"{text} too"), who="x")
    library.record_checks(strategy.id, [Finding(check=text[:90], severity="block", text=text)], who="x")
    library.edit(strategy.id, said.model_copy(update={"do": f"now {text}"}), who=text[:90], reason=text)
    library.record_checks(strategy.id, [Finding(check=text[:90], severity="block", text=text)], who="x")
    return library, strategy.id


def every_page(path: Path, text: str) -> dict[str, str]:
    library, id = hostile_library(path, text)
    statement = Statement(text, text, text, 1)
    queue = FakeQueue([Question("q", text, {text: 1}, text, text, (statement,), [Word("label", text, answer=text)])])
    client = visitor(review_app(title=text, token=TOKEN, reviewer=text, library=library, questions=queue))
    one = f"/strategies/{id}"
    paths = ["/strategies", one, f"{one}/edit", f"{one}/merge", f"{one}/history", f"{one}/measured", "/questions"]
    pages = {path: client.get(path) for path in [*paths, "/questions/q"]}
    pages["search"] = client.get("/strategies", params={"q": text, "status": "all"})
    assert {page.status_code for page in pages.values()} == {200}
    return {path.replace(id, "ID"): page.text for path, page in pages.items()}


@pytest.mark.slow
def test_a_hostile_text_adds_no_element_and_no_attribute(tmp_path: Path) -> None:
    plain = every_page(tmp_path / "plain.jsonl", "a harmless text")
    for number, attack in enumerate(ATTACKS):
        pages = every_page(tmp_path / f"{number}.jsonl", attack)
        for path, html in pages.items():
            page = Elements(html)
            assert page.seen <= Elements(plain[path]).seen, (path, attack)
            assert all(target.startswith(("/", "#")) for target in page.targets), (path, attack)
            assert not any(target.startswith("//") for target in page.targets), (path, attack)


def test_what_cannot_be_seen_is_made_visible(tmp_path: Path) -> None:
    for path, html in every_page(tmp_path / "library.jsonl", TRICKS).items():
        for char in "\u202e\u2066\u2069\x00\x1b\x7f\ufeff\U000e0041":
            assert char not in html, (path, hex(ord(char)))


def test_a_megabyte_of_text_is_cut_with_a_note(tmp_path: Path) -> None:
    library, _ = hostile_library(tmp_path / "library.jsonl", "x" * 900)
    library.propose(
        Advice(scenario="s", do="long"), who="x", evidence=Evidence(student="y" * 1_000_000, teacher="short")
    )
    long = library.strategies()[-1].id
    queue = questions(["z" * 1_000_000])
    client = visitor(review_app(title="t", token=TOKEN, reviewer="a", library=library, questions=queue))
    page = client.get(f"/strategies/{long}").text
    assert len(page) < 30_000 and "14,000 more characters are not shown" in page
    page = client.get("/questions/q1").text
    assert len(page) < 30_000 and "994,000 more characters are not shown" in page
    assert len(client.get("/questions").text) < 10_000


@given(st.text(max_size=60), st.text(max_size=60))
def test_changes_hold_both_texts_whole(before: str, after: str) -> None:
    parts = word_changes(before, after)
    assert "".join(text for kind, text in parts if kind != "new") == before
    assert "".join(text for kind, text in parts if kind != "gone") == after


@given(st.text(alphabet=st.characters(), max_size=50))
def test_any_text_can_be_sent_to_a_browser(text: str) -> None:
    shorten(text).text.encode()


def test_a_text_at_the_limit_is_whole() -> None:
    assert shorten("x" * LONGEST).left_out == 0
    assert shorten("x" * (LONGEST + 1)).left_out == 1


@pytest.mark.parametrize("id", ["a/b", "a b?c#d", "é", "<b>", "x/edit/y"])
def test_ids_of_any_form_have_a_page(tmp_path: Path, id: str) -> None:
    path = tmp_path / "library.jsonl"
    line = Library(tmp_path / "other.jsonl").propose(Advice(scenario="s", do="d"), who="x")
    path.write_text((tmp_path / "other.jsonl").read_text().replace(line.id, id))
    client = visitor(review_app(title="t", token=TOKEN, reviewer="a", library=Library(path)))
    (target,) = {one for one in Elements(client.get("/strategies").text).targets if one.startswith("/strategies/")}
    assert client.get(target).status_code == 200
