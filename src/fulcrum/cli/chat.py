"""`fulcrum chat`."""

import sys
from dataclasses import replace

from fulcrum.chat import Message, Request, Sampling, complete, resolve, system, user
from fulcrum.cli.common import console, log


def chat(
    model: str,
    /,
    *,
    instruction: str = "",
    temperature: float = 0.0,
    max_tokens: int = 256,
) -> None:
    """Talk to a model in the terminal; an empty line or Ctrl-D ends it. What got no answer can be said again.

    Exit code 1 says that the last call failed.

    Args:
        model: Name of the model, such as lab:large or http://localhost:8000/v1#qwen.
        instruction: A system message.
        temperature: 0 always answers alike.
        max_tokens: Limit of an answer.
    """
    opened = resolve(model)
    sampling = Sampling(temperature, max_tokens=max_tokens)
    messages: tuple[Message, ...] = (system(instruction),) if instruction else ()
    failed = False
    log.print(f"{model}; an empty line ends the talk", highlight=False)
    try:
        for line in sys.stdin:
            if not line.strip():
                break
            asked = (*messages, user(line.strip()))
            # Each turn draws with a seed of its own, so that a repeated question can get another answer.
            answer = complete(opened, [Request(asked, replace(sampling, seed=len(asked)))])[0]
            if answer.failure is not None:
                log.print(f"{answer.failure.kind}: {answer.failure.detail}", style="red")
            failed = answer.failure is not None and not answer.text  # an answer that was cut is one
            if not failed:
                console.print(answer.text, highlight=False, soft_wrap=True)
                messages = (*asked, answer.message())
    finally:
        opened.close()
    sys.exit(1 if failed else 0)
