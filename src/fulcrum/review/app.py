"""The review application: pages for the strategies of a library, for the questions of a society, or for both."""

from importlib import resources

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fulcrum.errors import FulcrumError
from fulcrum.review.feedback import FeedbackQueue
from fulcrum.review.question_pages import QuestionPages
from fulcrum.review.retest import Retest, Retests
from fulcrum.review.security import Guard, Secrets
from fulcrum.review.site import Site
from fulcrum.review.strategy_pages import StrategyPages
from fulcrum.strategies.library import Library


def review_app(
    *,
    title: str,
    token: str,
    reviewer: str,
    library: Library | None = None,
    questions: FeedbackQueue | None = None,
    retest: Retest | None = None,
    why_no_test: str = "no test was given to this page",
) -> Starlette:
    """Return the application; it answers on this machine's own names only, and to whom knows the token.

    Args:
        title: what is reviewed, at the top of each page.
        token: the secret in the address, such as `secrets.token_urlsafe()`.
        reviewer: the name that decisions carry, unless a browser gives another.
        library: strategies to review.
        questions: questions for people.
        retest: tests a strategy again after an edit.
        why_no_test: what the page says in its place.
    """
    sections: dict[str, str] = {}
    routes: list[Route] = []
    site = Site(title, reviewer, Secrets(token), sections)
    if library is not None:
        sections["/strategies"] = "Strategies"
        routes += StrategyPages(site, library, Retests(library, retest, why_no_test)).routes()
    if questions is not None:
        sections["/questions"] = "Questions"
        routes += QuestionPages(site, questions).routes()
    if not sections:
        raise ValueError("nothing to review: give a library, questions, or both")

    def home(_: Request) -> Response:
        return RedirectResponse(next(iter(sections)), 303)

    static = resources.files("fulcrum.review").joinpath("static")
    return Starlette(
        routes=[
            Route("/", home),
            Route("/name", site.rename, methods=["POST"]),
            Mount("/static", StaticFiles(directory=str(static))),
            *routes,
        ],
        middleware=[Middleware(Guard, site.secrets)],
        exception_handlers={HTTPException: site.missing, FulcrumError: site.broken},
    )
