"""The pages as a browser shows them; needs `playwright` (from PyPI) and a Chromium of the system."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from fulcrum.report import render_comparison, render_overview, render_run
from support.report import attempts, evaluate_by_hand, learned_run, point, saying, write_curve
from support.sums import write_sums

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    recipe = write_sums(tmp_path)
    runs: list[Path] = []
    for votes in ("3", "5"):
        run = learned_run(tmp_path / ("a-run-with-quite-a-long-name-of-its-own-" + votes), recipe, votes=votes)
        long = "one_very_long_word_without_any_place_to_break_" * 5
        direct = saying(attempts(run, "direct", "baseline", [1] * 10 + [0] * 20), long)
        method = saying(attempts(run, "a-method-with-a-long-name@3x2", "method", [0] * 2 + [1] * 28), long)
        write_curve(run / "stages" / "s", [point(x=x, y=x * int(votes), low=0, high=40) for x in range(9)])
        (run / "artifact").mkdir()
        (run / "artifact" / "README.md").write_text(f"# Card\n\n| {long} | b |\n|--|--|\n| 1 | {long} |\n\n`{long}`\n")
        runs.append(evaluate_by_hand(run, [direct, method]))
    (tmp_path / "run.html").write_text(render_run(runs[0]), encoding="utf-8")
    (tmp_path / "comparison.html").write_text(render_comparison(runs), encoding="utf-8")
    (tmp_path / "overview.html").write_text(render_overview(runs, tmp_path), encoding="utf-8")
    return [tmp_path / "run.html", tmp_path / "comparison.html", tmp_path / "overview.html"]


def test_no_page_scrolls_sideways_loads_anything_or_breaks_its_own_policy(pages: list[Path]) -> None:
    sync_api: Any = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            for width in (320, 768, 1280):
                page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
                page.on("console", lambda message: complaints.append(message.text))
                page.on("request", lambda request: complaints.extend([request.url] * (request.url[:5] != "file:")))
                for path in pages:
                    page.goto(path.as_uri())
                    page.evaluate("document.querySelectorAll('details').forEach(box => box.open = true)")
                    beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    assert beyond <= 0, f"{path.name} at {width} px is {beyond} px too wide"
                    page.keyboard.press("Tab")
                    assert page.evaluate("document.activeElement.className") == "skip"
                page.close()
        # A phone lays the rows out as blocks; they must stay rows to a screen reader.
        phone = browser.new_page(viewport={"width": 320, "height": 800})
        phone.goto(pages[0].as_uri())
        tree = phone.locator("#result table").first.aria_snapshot()
        assert 'rowheader "direct baseline"' in tree and 'columnheader "Difference"' in tree
        browser.close()
    assert complaints == []
