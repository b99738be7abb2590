"""The pages about strategies: the queue, one strategy and its decision, edit, merge, test, history."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fulcrum.errors import LibraryConflict, LibraryError
from fulcrum.review.queue import ORDERS, PAGE, Neighbours, View, effect_of
from fulcrum.review.retest import Retests
from fulcrum.review.show import MOST_MESSAGES, changes, plot, say_event, scale_of, segment
from fulcrum.review.site import Fields, Site, see_other
from fulcrum.strategies.fold import Strategy
from fulcrum.strategies.library import Library
from fulcrum.strategies.markdown import FIELDS
from fulcrum.strategies.records import FIELD_LIMIT, STATUSES, AnyEvent, Checked, Edited, Measured, read_advice

_DECISIONS = ("approved", "rejected", "retired")
_HINTS = {
    "scenario": "the situation, in a few sentences; retrieval compares it with a dialogue",
    "when": "the condition, as one clause",
    "do": "what to do then",
    "avoid": "what to leave, if anything",
    "why": "the reason, for people; never shown to the student",
}


class StrategyPages:
    """Handlers for one library.

    Args:
        site: the frame.
        library: what is reviewed.
        retests: what tests a strategy again.
    """

    def __init__(self, site: Site, library: Library, retests: Retests) -> None:
        self._site = site
        self._library = library
        self._retests = retests
        self._neighbours = Neighbours()
        for strategy in library.strategies():  # now, not while somebody waits for the first page
            self._neighbours.words(strategy)

    def routes(self) -> list[Route]:
        """Return where each page is found."""
        one = "/strategies/{id:path}"
        return [
            Route("/strategies", self._queue, methods=["GET"]),
            Route(f"{one}/decide", self._decide, methods=["POST"]),
            Route(f"{one}/edit", self._edit_form, methods=["GET"]),
            Route(f"{one}/edit", self._edit, methods=["POST"]),
            Route(f"{one}/merge", self._merge_form, methods=["GET"]),
            Route(f"{one}/merge", self._merge, methods=["POST"]),
            Route(f"{one}/test", self._test, methods=["POST"]),
            Route(f"{one}/measured", self._measured, methods=["GET"]),
            Route(f"{one}/history", self._history, methods=["GET"]),
            Route(one, self._show, methods=["GET"]),
        ]

    # Looking

    def _queue(self, request: Request) -> Response:
        view = View.read(request.query_params)
        queue = view.look(self._library)
        effects = {strategy.id: effect for strategy in queue.page if (effect := effect_of(strategy))}
        scale = scale_of(list(effects.values()))
        return self._site.page(
            request,
            "queue.html",
            view=view,
            queue=queue,
            first=(queue.number - 1) * PAGE + 1,
            effects=effects,
            plots={id: plot(effect, scale) for id, effect in effects.items()},
            statuses=STATUSES,
            orders={name: label for name, (label, _) in ORDERS.items()},
            done=self._done(request),
        )

    def _show(self, request: Request) -> Response:
        return self._page_of(request, self._find(request))

    def _page_of(
        self,
        request: Request,
        strategy: Strategy,
        status: int = 200,
        *,
        problem: str = "",
        reason: str = "",
        wanted: str = "",
        missed: Sequence[AnyEvent] = (),
    ) -> Response:
        view = View.read(request.query_params)
        every = self._library.strategies()
        return self._site.page(
            request,
            "strategy.html",
            status,
            view=view,
            place=view.look(self._library).around(strategy.id),
            similar=self._neighbours.of(strategy, every),
            messages=strategy.evidence.messages[-MOST_MESSAGES:],
            last_edit=self._last_edit(strategy),
            problem=problem,
            reason=reason,
            wanted=wanted,
            missed=[(event, say_event(event)) for event in missed],
            done=self._done(request),
            **self._measurements(strategy),
        )

    def _measurements(self, strategy: Strategy) -> dict[str, Any]:
        scale = scale_of(list(strategy.effects.values()))
        return {
            "strategy": strategy,
            "address": _address(strategy.id),
            "effects": [(effect, plot(effect, scale)) for effect in strategy.effects.values()],
            "against": strategy.before_approval(),
            "test": self._retests.state(strategy.id),
            "why_no_test": self._retests.why_not,
        }

    def _last_edit(self, strategy: Strategy) -> object:
        versions = self._library.versions(strategy.id)
        return changes(versions[-2], versions[-1]) if len(versions) > 1 else None

    def _history(self, request: Request) -> Response:
        strategy = self._find(request)
        events = self._library.history(strategy.id)
        versions = self._library.versions(strategy.id)
        old = _version(request, "from", len(versions), max(1, len(versions) - 1))
        new = _version(request, "to", len(versions), len(versions))
        told = [
            (
                event,
                say_event(event),
                changes(versions[event.parent - 1], event.advice) if isinstance(event, Edited) else None,
            )
            for event in events
        ]
        return self._site.page(
            request,
            "history.html",
            view=View.read(request.query_params),
            strategy=strategy,
            address=_address(strategy.id),
            events=told[::-1],
            versions=len(versions),
            old=old,
            new=new,
            compared=changes(versions[old - 1], versions[new - 1]),
        )

    # Deciding

    def _decide(self, request: Request) -> Response:
        strategy, fields, view = self._find(request), Fields(request), View.read(request.query_params)
        decision, reason, revision = fields.text("status"), fields.text("reason"), fields.number("revision")
        if decision not in _DECISIONS:
            raise HTTPException(400, f"status: one of {', '.join(_DECISIONS)} is needed")
        after = view.look(self._library).around(strategy.id).after
        try:
            self._library.decide(strategy.id, decision, who=self._site.who(request), reason=reason, revision=revision)
        except LibraryConflict:
            missed = self._library.history(strategy.id)[revision:]
            now = self._library.strategy(strategy.id)
            return self._page_of(request, now, 409, reason=reason, wanted=decision, missed=missed)
        except LibraryError as error:
            return self._page_of(request, self._find(request), 422, problem=str(error), reason=reason)
        done = urlencode({"done": strategy.id})
        return see_other(f"{_address(after) if after else '/strategies'}?{view.query}&{done}")

    def _edit_form(self, request: Request) -> Response:
        strategy = self._find(request)
        words = {name: getattr(strategy.advice, name) for name in FIELDS}
        return self._edit_page(request, strategy, words, seen=strategy.version)

    def _edit_page(
        self,
        request: Request,
        strategy: Strategy,
        words: dict[str, str],
        status: int = 200,
        *,
        seen: int,
        reason: str = "",
        problem: str = "",
        missed: Sequence[AnyEvent] = (),
    ) -> Response:
        versions = self._library.versions(strategy.id)
        return self._site.page(
            request,
            "edit.html",
            status,
            view=View.read(request.query_params),
            strategy=strategy,
            address=_address(strategy.id),
            words=words,
            hints=_HINTS,
            limit=FIELD_LIMIT,
            reason=reason,
            problem=problem,
            missed=[(event, say_event(event)) for event in missed],
            theirs=changes(versions[seen - 1], strategy.advice) if missed else {},
            why_no_test=self._retests.why_not,
        )

    def _edit(self, request: Request) -> Response:
        strategy, fields, view = self._find(request), Fields(request), View.read(request.query_params)
        words, reason = {name: fields.text(name) for name in FIELDS}, fields.text("reason")
        revision = fields.number("revision")
        seen = min(max(fields.number("version"), 1), strategy.version)
        who = self._site.who(request)
        try:
            edited = self._library.edit(strategy.id, read_advice(words), who=who, reason=reason, revision=revision)
            if fields.text("then") == "test":
                self._retests.start(edited, who)
            else:
                self._retests.check(edited, who)
        except LibraryConflict:
            now, missed = self._library.strategy(strategy.id), self._library.history(strategy.id)[revision:]
            return self._edit_page(request, now, words, 409, seen=seen, reason=reason, missed=missed)
        except LibraryError as error:
            return self._edit_page(request, strategy, words, 422, seen=seen, reason=reason, problem=str(error))
        return see_other(f"{_address(edited.id)}?{view.query}")

    def _merge_form(self, request: Request) -> Response:
        query = request.query_params
        strategy = self._find(request)
        source = query.get("words", strategy.id)
        advice = (self._library.strategy(source) if source in self._library else strategy).advice
        words = {name: getattr(advice, name) for name in FIELDS}
        return self._merge_page(request, strategy, words, chosen=query.getlist("with"))

    def _merge_page(
        self,
        request: Request,
        strategy: Strategy,
        words: dict[str, str],
        status: int = 200,
        *,
        chosen: Sequence[str],
        reason: str = "",
        problem: str = "",
    ) -> Response:
        search = request.query_params.get("find", "")[:200]
        chosen = [id for id in dict.fromkeys(chosen) if id in self._library and id != strategy.id]
        offered = {id: self._library.strategy(id) for id in chosen}
        if search.strip():
            found = [one for one in self._library.search(search) if one.merged_into is None and one.id != strategy.id]
        else:
            found = [one for one, _ in self._neighbours.of(strategy, self._library.strategies(), most=8, least=0.05)]
        offered |= {one.id: one for one in found[:20]}
        return self._site.page(
            request,
            "merge.html",
            status,
            view=View.read(request.query_params),
            strategy=strategy,
            address=_address(strategy.id),
            offered=list(offered.values()),
            chosen=chosen,
            search=search,
            found=len(found),
            words=words,
            hints=_HINTS,
            limit=FIELD_LIMIT,
            reason=reason,
            problem=problem,
        )

    def _merge(self, request: Request) -> Response:
        strategy, fields, view = self._find(request), Fields(request), View.read(request.query_params)
        words, reason, chosen = (
            {name: fields.text(name) for name in FIELDS},
            fields.text("reason"),
            fields.texts("with"),
        )
        ids, who = [strategy.id, *chosen], self._site.who(request)
        seen = {id: fields.number(f"revision-{id}") for id in ids}
        try:
            merged = self._library.merge(ids, read_advice(words), who=who, reason=reason, revisions=seen)
        except LibraryError as error:
            conflict = isinstance(error, LibraryConflict)
            status, problem = (409, self._changed(seen)) if conflict else (422, str(error))
            now = self._find(request)
            return self._merge_page(request, now, words, status, chosen=chosen, reason=reason, problem=problem)
        self._retests.check(merged, who)
        return see_other(f"{_address(merged.id)}?{view.query}")

    def _changed(self, seen: Mapping[str, int]) -> str:
        missed = [(id, event) for id, revision in seen.items() for event in self._library.history(id)[revision:]]
        told = "; ".join(f"{event.who} {say_event(event)} ({id})" for id, event in missed)
        return f"While you looked: {told}. What you wrote is kept below"

    # Testing

    def _test(self, request: Request) -> Response:
        strategy, view = self._find(request), View.read(request.query_params)
        try:
            self._retests.start(strategy, self._site.who(request))
        except LibraryError as error:
            return self._page_of(request, strategy, 422, problem=str(error))
        return see_other(f"{_address(strategy.id)}?{view.query}")

    def _measured(self, request: Request) -> Response:
        """Return what is known of the effect, for a page that waits for a test."""
        strategy = self._find(request)
        revision = int(text) if (text := request.query_params.get("revision", "")).isdecimal() else 0
        missed = self._library.history(strategy.id)[revision:]
        # The page shows what was measured from now on; of a decision or an edit it must still learn the hard way.
        shown = all(isinstance(event, Measured | Checked) for event in missed)
        return self._site.page(
            request,
            "measured.html",
            view=View.read(request.query_params),
            revision=strategy.revision if shown else revision,
            **self._measurements(strategy),
        )

    # Finding

    def _find(self, request: Request) -> Strategy:
        id = request.path_params["id"]
        if id not in self._library:
            raise HTTPException(404, f"there is no strategy {id}")
        return self._library.strategy(id)

    def _done(self, request: Request) -> Strategy | None:
        id = request.query_params.get("done", "")
        return self._library.strategy(id) if id in self._library else None


def _address(id: str) -> str:
    return f"/strategies/{segment(id)}"


def _version(request: Request, name: str, last: int, default: int) -> int:
    text = request.query_params.get(name, "")
    return min(max(int(text), 1), last) if text.isdecimal() and len(text) < 7 else default
