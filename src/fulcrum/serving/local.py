"""A model in this process, or an artifact that answers itself, behind the same API as an upstream."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence

from fulcrum.chat import ChatModel, Completion, Request
from fulcrum.serving.batching import Batcher, Busy
from fulcrum.serving.errors import ApiError
from fulcrum.serving.replies import Reply, chat_chunks, chat_completion, check_usable, event_reply, json_reply
from fulcrum.serving.settings import ServeSettings
from fulcrum.serving.wire import Body, read_question
from fulcrum.settings import nearest

_log = logging.getLogger(__name__)


class LocalModel:
    """Answers chat requests with a `ChatModel`, which is closed with it.

    Args:
        name: what clients call it.
        model: who answers.
        settings: batching and limits.
        observe: told the size of each batch.
    """

    def __init__(
        self, name: str, model: ChatModel, settings: ServeSettings, observe: Callable[[int], None] = lambda size: None
    ) -> None:
        self.name = name
        self.created = int(time.time())
        self._settings = settings

        def work(requests: Sequence[Request]) -> Iterator[Sequence[tuple[int, Completion]]]:
            return model.generate(requests)

        self._batcher = Batcher[Request, Completion](
            work,
            size=settings.batch,
            workers=settings.workers,
            waiting=settings.concurrency * 128,  # a place for each of the `n` answers of a request
            closed=model.close,
            observe=observe,
        )

    async def answer(self, body: Body) -> Reply:
        """Answer one chat request; a stream begins when the whole answer is there.

        Raises:
            ApiError: the request is not one that it can answer, or it gave no answer.
        """
        question = read_question(body)
        self.check_name(question.model)
        requests = question.requests(self._settings.max_tokens)
        try:
            async with asyncio.timeout(self._settings.timeout):
                completions = await asyncio.gather(*(self._batcher.submit(request) for request in requests))
        except TimeoutError as error:
            raise ApiError(504, f"No answer within {self._settings.timeout:g} s", "timeout") from error
        except Busy as error:
            raise ApiError(503, "Too many requests wait", "overloaded", None, {"retry-after": "1"}) from error
        except Exception as error:  # a model may fail in any way; the client is told that it did, the operator how
            _log.exception("the model %s failed", self.name)
            raise ApiError(502, "The model failed; the server's log says how", "model_failed") from error
        check_usable(*(completion.failure for completion in completions))
        call, created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        if not question.stream:
            return json_reply(chat_completion(call, created, self.name, completions))
        include_usage = bool(question.stream_options and question.stream_options.include_usage)
        return event_reply(chat_chunks(call, created, self.name, completions, include_usage))

    def check_name(self, asked: str) -> None:
        """Refuse another model's name.

        Raises:
            ApiError: 404.
        """
        if asked != self.name:
            told = f"There is no model {asked[:100]!r} here{nearest(asked[:100], [self.name])}; there is {self.name!r}"
            raise ApiError(404, told, "model_not_found", "model")

    def close(self) -> None:
        """Answer what waits, take nothing more, and close the model after that."""
        self._batcher.close()
