import base64
import hashlib
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from fulcrum.chat import assistant, user
from fulcrum.chat.message import Message, ToolCall
from fulcrum.cli.main import main
from fulcrum.errors import RunError
from fulcrum.evaluation.diagnosis import diagnose
from fulcrum.evaluation.results import read_results
from fulcrum.evaluation.table import read_evaluation
from fulcrum.report import render_run, write_report
from support.evaluation import made
from support.report import Page, attempts, evaluate_by_hand, figures, learned_run, point, saying, write_curve
from support.sums import write_sums

HOSTILE = (
    "</style></title></pre><script>alert(1)</script><img src=http://evil.example/x onerror=a> "
    "\u202egnp\x00\x1b\ud800'\""
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that has learned and was not evaluated."""
    monkeypatch.chdir(tmp_path)
    return learned_run(tmp_path / "run", write_sums(tmp_path))


@pytest.fixture
def measured(run: Path) -> Path:
    """A run in which a method fixes twelve, breaks two and fails once, with everything that a page can show."""
    write_curve(run / "stages" / "rounds-0123", [point(x=x, y=4 - x, low=3 - x, high=5 - x) for x in range(4)])
    (run / "artifact").mkdir()
    (run / "artifact" / "README.md").write_text("# Title\n\n#### Deep\n\n| a | b |\n|:--|--:|\n| 1 | 2 |\n")
    return evaluate_by_hand(
        run,
        [
            attempts(run, "direct", "baseline", [1] * 10 + [0] * 20),
            attempts(run, "mine", "method", [0] * 2 + [1] * 20 + [0] * 7 + ["timeout"]),
            attempts(run, "shuffled", "control", [1] * 11 + [0] * 19),
        ],
    )


def command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0


def test_the_figures_of_the_page_are_those_of_the_evaluation(measured: Path) -> None:
    shown = Page(render_run(measured)).rows()
    rows = json.loads((measured / "evaluation.json").read_text())
    assert set(shown) == {row["solver"] for row in rows}
    for row in rows:
        names = ("mean", "difference", "harm", "rescue", "n", "failures", "calls")
        assert figures(shown[row["solver"]]) == [row[name] for name in names]
    mine = next(row for row in rows if row["solver"] == "mine")
    ends = f"{100 * mine['difference_low']:+.1f} to {100 * mine['difference_high']:+.1f}"
    assert mine["difference_low"] > 0 and ends in shown["mine"][1].text


def test_the_real_evaluation_of_a_recipe_has_a_page(run: Path) -> None:
    command("evaluate", "run")
    page = Page(render_run(run))
    assert "direct scores" in page.all("h1")[0].text
    took = next(table for table in page.all("table") if "Every call that the run made" in table.text)
    assert "python:bots:sloppy" in took.text and "224" in took.text


def test_what_was_measured_elsewhere_is_a_table(measured: Path) -> None:
    assert "Elsewhere" not in render_run(measured)
    cell = {"model": "lab:other", "task": "lab:sql?seed=7", "trained_for": False, "n": 40, "alone": 0.25, "helped": 0.5}
    cell |= {"difference": 0.25, "low": 0.125, "high": 0.375, "control": -0.025, "harm": None}
    (measured / "transfer").mkdir()
    (measured / "transfer" / "matrix.json").write_text(json.dumps([cell]))
    page = render_run(measured)
    table = page.partition('id="elsewhere"')[2].partition("</table>")[0]
    for said in ("lab:sql?seed=7", "lab:other", "25.0", "50.0", "+25.0", "-2.5"):
        assert said.replace("-", "\N{MINUS SIGN}") in table or said in table, said


def test_no_control_without_a_scored_answer_stands_beside_the_baseline(run: Path) -> None:
    direct = attempts(run, "direct", "baseline", [1] * 15 + [0] * 15)
    failed = attempts(run, "vote", "control", ["timeout"] * 30)
    page = Page(render_run(evaluate_by_hand(run, [direct, failed])))
    assert "items" not in [section.attributes["id"] for section in page.all("section")]
    page = Page(
        render_run(evaluate_by_hand(run, [direct, failed, attempts(run, "shots", "control", [1] * 9 + [0] * 21)]))
    )
    assert "solved more often by shots" in page.text


def test_every_sentence_of_the_diagnosis_is_there(measured: Path) -> None:
    text = Page(render_run(measured)).text
    sentences = diagnose(read_results(measured), read_evaluation(measured / "evaluation.json"))
    assert sentences and all(sentence in text for sentence in sentences)


def test_the_same_folder_gives_the_same_bytes(measured: Path) -> None:
    first = write_report(measured).read_bytes()
    assert write_report(measured).read_bytes() == first
    assert first.decode("utf-8") == render_run(measured)


def test_the_page_loads_nothing_and_says_so_to_the_browser(measured: Path) -> None:
    html = render_run(measured)
    page = Page(html)
    for element in page.elements:
        assert element.tag not in {"script", "link", "img", "iframe", "object", "form", "base"}
        assert not {name for name in element.attributes if name.startswith("on") or name in {"src", "style"}}
        assert element.attributes.get("href", "#").startswith("#")  # pyright: ignore[reportOptionalMemberAccess]
    (style,) = page.all("style")
    assert "url(" not in style.text and "@import" not in style.text
    policy = next(e for e in page.all("meta") if e.attributes.get("http-equiv")).attributes["content"] or ""
    digest = base64.b64encode(hashlib.sha256(style.text.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'") and f"'sha256-{digest}'" in policy


def test_landmarks_headings_tables_and_pictures_are_named(measured: Path) -> None:
    page = Page(render_run(measured))
    for tag in ("header", "nav", "main", "footer", "h1", "title"):
        assert len([element for element in page.all(tag) if not any(p.tag == "svg" for p in element.parents)]) == 1
    levels = [int(heading.tag[1]) for heading in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((element.attributes.get(name) or "").split()) <= set(ids)
        if element.tag == "a":
            assert (element.attributes["href"] or "")[1:] in ids
        if element.tag == "th":
            assert element.attributes.get("scope") in {"row", "col"}
        if element.attributes.get("role") == "img":
            assert [child.tag for child in element.children if not isinstance(child, str)][:2] == ["title", "desc"]
    own = [table for table in page.all("table") if not any(p.attributes.get("class") == "prose" for p in table.parents)]
    assert own and all("caption" in [c.tag for c in table.children if not isinstance(c, str)] for table in own)


def test_text_of_a_model_does_nothing_and_hides_nothing(run: Path) -> None:
    turns: tuple[Message, ...] = (
        Message("assistant", HOSTILE, (ToolCall("1", HOSTILE, HOSTILE),)),
        user(HOSTILE),
        assistant(HOSTILE),
    )
    direct = saying(attempts(run, "direct", "baseline", [1, 0, 0, 1]), HOSTILE, turns=turns)
    method = saying(attempts(run, HOSTILE.replace("\ud800", ""), "method", [1, 1, 0, 0]), HOSTILE)
    traced = {"</summary>" + HOSTILE: [HOSTILE], "note": HOSTILE}
    evaluate_by_hand(run, [direct, saying(method, HOSTILE, traces=(traced,))])
    write_curve(run / "artifact", [point(series=HOSTILE.replace("\ud800", ""))])
    (run / "artifact" / "README.md").write_text(f"# {HOSTILE[:-3]}\n\n{HOSTILE[:-3]}\n\n&#8238;[a](javascript:b)<b>")
    html = render_run(run)
    html.encode("utf-8")
    assert not set(html) & {*map(chr, range(9)), "\x0b", "\x1b", "\u202e", "\ud800"}
    page = Page(html)
    assert not page.all("script", "img", "b")
    assert len(page.all("style")) == 1 and len(page.all("body")) == 1
    assert "⟨U+202E⟩gnp␀␛⟨U+D800⟩'\"" in page.text
    assert "</style></title></pre><script>alert(1)</script>" in page.text
    assert not [element for element in page.elements if element.attributes.get("href", "#") == "javascript:b"]


@pytest.mark.slow
def test_a_page_of_five_hundred_long_examples_stays_below_two_megabytes(run: Path) -> None:
    text = "'" * 3_000  # the character that takes most room when it is escaped
    turns = tuple(assistant(text) for _ in range(2)) + tuple(assistant("") for _ in range(40))
    results = [
        saying(
            made("direct", "baseline", [0, 1, 0, 1, 1] * 100),
            text,
            turns=turns,
            traces=({"a": text, "b": text, "c": text},),
        ),
        saying(made("mine", "method", [1, 0, 0, 1, 1] * 100), text, turns=turns, traces=({"a": text},) * 3),
    ]
    evaluate_by_hand(run, results)
    for place in range(20):
        write_curve(run / "stages" / f"s{place}", [point(f"line {s}", x, x * s) for s in range(9) for x in range(900)])
    (run / "artifact").mkdir()
    (run / "artifact" / "README.md").write_text("'" * 200_000)
    (run / "recipe.toml").write_text("# " + "'" * 200_000)
    html = render_run(run)
    assert len(html.encode()) < 2_000_000
    assert re.search(r"Cut here: 500 more characters", html)
    assert "Cut here: 170,000 more characters" in html
    assert "Not drawn, because there is no room: 8 more, in stages/s" in html


def test_a_run_that_was_not_evaluated_says_how(run: Path) -> None:
    page = Page(render_run(Path("run")))
    assert page.all("h1")[0].text == "Not evaluated yet."
    assert "fulcrum evaluate run" in page.all("header")[0].text
    assert not [element for element in page.all("section") if element.attributes["id"] == "result"]


def test_a_run_that_has_not_learned_says_how_to_go_on(run: Path) -> None:
    events = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (run / "events.jsonl").write_text("".join(line for line in events if '"learned"' not in line))
    (run / "command.txt").write_text("fulcrum train recipe.toml\n")
    header = Page(render_run(run)).all("header")[0].text
    assert "Not trained to the end yet." in header and "fulcrum train recipe.toml" in header


def test_a_page_needs_no_task_and_says_why_it_shows_no_question(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "What is" in Page(render_run(measured)).text
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = Page(render_run(measured)).text
    assert "What is" not in text and "The questions cannot be shown:" in text


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        render_run(tmp_path)


def test_the_command_writes_the_page_and_prints_where(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command("report", "run")
    assert capsys.readouterr().out.strip() == str(Path("run/report.html"))
    assert (measured / "report.html").read_text(encoding="utf-8") == render_run(Path("run"))
    command("report", "run", "--output", "there.html")
    assert Path("there.html").read_bytes() == (measured / "report.html").read_bytes()


def test_the_page_says_what_each_point_took(measured: Path) -> None:
    assert "Learning took" not in render_run(measured)
    cost = {"actor": {"calls": 900, "prompt_tokens": 8_000, "completion_tokens": 1_000}}
    (measured / "learning.json").write_text(json.dumps(cost))
    took = "Learning took 900 calls (900 of the actor), 9,000 tokens, the time of training not counted: "
    assert took in render_run(measured)
