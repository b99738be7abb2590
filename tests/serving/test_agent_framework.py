"""An agent framework in front of the proxy: Pydantic AI, unchanged but for its base URL."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from starlette.responses import JSONResponse

from serving.fakes import Proxy, Upstream

Serve = Callable[..., Proxy]
Work = Callable[[OpenAIChatModel], Awaitable[Any]]


class Weather(BaseModel):
    city: str
    degrees: int


def answered(message: dict[str, Any], reason: str = "stop") -> JSONResponse:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return JSONResponse({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


def called(tool: str, **arguments: Any) -> JSONResponse:
    function = {"name": tool, "arguments": json.dumps(arguments)}
    return answered({"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]})


@pytest.fixture
def through_the_proxy(serve: Serve, upstream_url: str) -> Callable[[Work], Any]:
    """Run something with a model behind the proxy, and close its client."""
    url = serve(upstream=upstream_url).url

    async def run(work: Work) -> Any:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as sdk:
            return await work(OpenAIChatModel("m", provider=OpenAIProvider(openai_client=sdk)))

    return lambda work: asyncio.run(run(work))


def test_an_agent_calls_its_tool_and_gives_a_typed_answer(
    through_the_proxy: Callable[[Work], Any], upstream: Upstream
) -> None:
    def reply(body: dict[str, Any]) -> JSONResponse:
        if body["messages"][-1]["role"] == "tool":
            return called("final_result", city="Rome", degrees=int(body["messages"][-1]["content"].split()[0]))
        return called("temperature", city="Rome")

    upstream.reply = reply

    async def work(model: OpenAIChatModel) -> Weather:
        agent = Agent(model, output_type=Weather)

        @agent.tool_plain
        def temperature(city: str) -> int:
            """Return the temperature of a city."""
            return {"Rome": 21}[city]

        return (await agent.run("how warm is Rome?")).output

    assert through_the_proxy(work) == Weather(city="Rome", degrees=21)
    first, second = upstream.bodies
    assert first["messages"][0]["content"] == "how warm is Rome?\n\n[note]"  # the help came along
    assert {tool["function"]["name"] for tool in first["tools"]} == {"temperature", "final_result"}
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]


def test_an_agent_streams(through_the_proxy: Callable[[Work], Any], upstream: Upstream) -> None:
    async def work(model: OpenAIChatModel) -> str:
        async with Agent(model).run_stream("hi") as stream:
            return "".join([piece async for piece in stream.stream_text(delta=True)])

    said = through_the_proxy(work)
    assert said and upstream.bodies[-1]["stream"] is True
    assert "[note]" in upstream.bodies[-1]["messages"][-1]["content"]
