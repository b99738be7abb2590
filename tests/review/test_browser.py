"""The review page in a real browser, by keyboard."""

import re
import shutil
import socket
import threading
import time
from collections.abc import Generator

import pytest
import uvicorn

from fulcrum.review.app import review_app
from fulcrum.review.retest import Measurement
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library
from review.material import EVIDENCE, TOKEN, advice, effect, questions

api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser; pip install 'fulcrum[dev]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a system Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Generator:
    api.expect.set_options(timeout=60_000)  # a busy machine is no fault of the page
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def address(library: Library) -> Generator[str]:
    """The page on a real port; its test measures 0.4 for every strategy, and takes longer than the page does."""

    def retest(strategy: Strategy, measures: bool) -> Measurement:
        time.sleep(2)
        return Measurement((effect(0.4),))

    app = review_app(
        title="strategies-lab-desk",
        token=TOKEN,
        reviewer="ada",
        library=library,
        questions=questions(),
        retest=retest,
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


def visit(browser, address: str, who: str = "", **options):
    """Open the page as the terminal's address does; every error in the console fails the test that closes it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    context.set_default_timeout(90_000)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda said: page.problems.append(said.text) if said.type == "error" else None)
    page.goto(f"{address}/?token={TOKEN}")
    page.wait_for_url(f"{address}/strategies")
    if who:
        page.locator(".me summary").click()
        page.get_by_label("Name on your decisions").fill(who)
        page.get_by_role("button", name="Keep").click()
        page.wait_for_url(f"{address}/strategies")
    return page


def test_approve_by_keyboard_and_reload_keeps_everything(browser, address: str, library: Library) -> None:
    page = visit(browser, address)
    assert "token" not in page.url
    first, second, third = (strategy.id for strategy in library.strategies())
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/strategies/{first}?**")
    page.keyboard.press("a")
    page.wait_for_url(f"**/strategies/{second}?**")
    api.expect(page.get_by_role("status").first).to_contain_text("is approved")
    page.keyboard.press("r")
    page.keyboard.type("names are private")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/strategies/{third}?**")
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    api.expect(page.locator("#say")).to_contain_text("say why")
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.wait_for_url("**/strategies?**")
    for _ in range(2):
        api.expect(page.get_by_role("link", name="approved")).to_contain_text("1")
        api.expect(page.locator(".row")).to_have_count(1)
        page.reload()
    statuses = [(strategy.status, strategy.decided and strategy.decided.reason) for strategy in library.strategies()]
    assert statuses == [("approved", ""), ("rejected", "names are private"), ("proposed", None)]
    assert not page.problems


def test_search_while_typing(browser, address: str) -> None:
    page = visit(browser, address)
    page.keyboard.press("/")
    page.keyboard.type("name")
    api.expect(page.locator(".row")).to_have_count(1)
    assert "q=name" in page.url
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    api.expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/strategies/\w+\?.*q=name"))
    assert not page.problems


def test_edit_and_test_again(browser, address: str, library: Library) -> None:
    page, id = visit(browser, address), library.strategies()[0].id
    page.goto(f"{address}/strategies/{id}?status=proposed")
    page.keyboard.press("e")
    page.get_by_label("do", exact=True).fill("say sorry at once, then ask")
    page.get_by_role("button", name="Save and test").click()
    page.get_by_role("button", name="Approve, with a reason").wait_for()
    api.expect(page.locator("#measured")).to_contain_text("+0.40", timeout=15_000)
    api.expect(page.get_by_role("button", name="Approve a", exact=True)).to_be_visible()
    api.expect(page.locator("ins").first).to_be_visible()
    page.keyboard.press("a")
    page.wait_for_url(re.compile("done="))
    strategy = library.strategy(id)
    assert (strategy.version, strategy.status, strategy.effects["on-off"].estimate) == (2, "approved", 0.4)
    assert not page.problems


def test_merge(browser, address: str, library: Library) -> None:
    page, (first, second, third) = visit(browser, address), [strategy.id for strategy in library.strategies()]
    page.goto(f"{address}/strategies/{first}?status=proposed")
    page.keyboard.press("m")
    page.get_by_role("checkbox", name="say sorry first").check()
    page.get_by_role("searchbox").fill("name")
    api.expect(page.get_by_role("checkbox", name="say sorry first")).to_be_checked()
    page.get_by_role("checkbox", name="use the customer").check()
    page.get_by_label("do", exact=True).fill("say sorry by name")
    page.keyboard.press("Control+Enter")
    new = advice("say sorry by name").id
    page.wait_for_url(f"**/strategies/{new}?**")
    assert set(library.strategy(new).parents) == {first, second, third}
    assert [one.id for one in library.strategies("proposed")] == [new]
    assert not page.problems


def test_two_reviewers_at_once_lose_nothing(browser, address: str, library: Library) -> None:
    id = library.strategies()[0].id
    ada, ben = visit(browser, address), visit(browser, address, "ben")
    for page in (ada, ben):
        page.goto(f"{address}/strategies/{id}?status=proposed")
    ben.keyboard.press("r")
    ben.keyboard.type("it may annoy")
    ben.keyboard.press("Enter")
    ben.wait_for_url(re.compile("done="))
    ada.get_by_label("Reason").fill("kind words")
    ada.keyboard.press("Escape")
    ada.keyboard.press("a")
    api.expect(ada.get_by_role("alert")).to_contain_text("Somebody changed this meanwhile")
    api.expect(ada.get_by_role("alert")).to_contain_text("it may annoy")
    api.expect(ada.get_by_label("Reason")).to_have_value("kind words")
    assert library.strategy(id).status == "rejected"
    ada.wait_for_load_state()  # a key pressed before its script is there is lost
    ada.keyboard.press("a")
    ada.wait_for_url(re.compile("done="))
    assert [(event.who, event.reason) for event in library.history(id)[-2:]] == [
        ("ben", "it may annoy"),
        ("ada", "kind words"),
    ]


def test_a_question_is_answered_by_keyboard(browser, address: str) -> None:
    page = visit(browser, address)
    page.goto(f"{address}/questions/q1")
    page.keyboard.press("2")
    page.keyboard.press("a")
    page.wait_for_url("**/questions/q2")
    page.keyboard.press("k")
    page.wait_for_url("**/questions/q1")
    api.expect(page.locator("main")).to_contain_text("gave the answer 20")
    assert not page.problems


def test_keys_can_be_switched_off(browser, address: str, library: Library) -> None:
    page, id = visit(browser, address), library.strategies()[0].id
    page.keyboard.press("?")
    page.get_by_label("keys of a single letter are on").uncheck()
    page.keyboard.press("Escape")
    page.goto(f"{address}/strategies/{id}")
    page.keyboard.press("a")
    page.reload()
    assert library.strategy(id).status == "proposed"


def test_without_scripts_everything_still_works(browser, address: str, library: Library) -> None:
    page, id = visit(browser, address, java_script_enabled=False), library.strategies()[0].id
    page.goto(f"{address}/strategies/{id}")
    page.get_by_label("Reason").fill("kind")
    page.get_by_label("Reason").press("Enter")
    assert library.strategy(id).status == "proposed", "Enter alone decides nothing"
    page.get_by_role("button", name="Approve").click()
    page.wait_for_url(re.compile("done="))
    assert library.strategy(id).status == "approved"


def test_hostile_text_runs_nothing(browser, address: str, library: Library) -> None:
    attack = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    strategy = library.propose(advice(attack, scenario=attack), who="teacher", evidence=EVIDENCE)
    page = visit(browser, address)
    for path in ("/strategies?status=all", f"/strategies/{strategy.id}", f"/strategies/{strategy.id}/edit"):
        page.goto(address + path)
        assert "taken" not in page.title() or "<img" in page.title()
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert not page.problems


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(browser, address: str, library: Library, width: int) -> None:
    page, id = visit(browser, address), library.strategies()[0].id
    library.edit(id, advice("x" * 600, scenario="y" * 600), who="ada")
    page.set_viewport_size({"width": width, "height": 780})
    for path in ("", f"/{id}", f"/{id}/edit", f"/{id}/merge", f"/{id}/history"):
        page.goto(f"{address}/strategies{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto(f"{address}/questions/q1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
