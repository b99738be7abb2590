# pyright: basic
"""Models in this process: any causal language model of Hugging Face with a chat template, on CPU or GPU."""

import itertools
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from jinja2 import TemplateError

from fulcrum.chat.adapters import Adapters
from fulcrum.chat.completion import Completion, Failure, Usage
from fulcrum.chat.decoding import Row, cut_batches, decode, left_padded
from fulcrum.chat.fingerprint import model_fingerprint
from fulcrum.chat.loading import cache_bytes, load, open_device
from fulcrum.chat.model import Finished, Request
from fulcrum.chat.options import split_options
from fulcrum.chat.parsing import split_reasoning, take_tool_calls
from fulcrum.chat.template import template_faults, template_message
from fulcrum.errors import ModelError
from fulcrum.hardware import SMALL_PARAMETERS, choose_device, choose_dtype, memory_bytes
from fulcrum.hashing import seed_from

OPTIONS = ("adapter", "batch", "device", "dtype")
DTYPES = ("auto", "bfloat16", "float16", "float32")
CACHE_SHARE = 0.4
"""Share of the memory left by the weights that the keys and values of one batch may take."""
LANE_ROWS = 48
"""Least rows of a part: with fewer, the cores wait for one another."""
SCORED_LOGITS = 1 << 27
"""Most logits of one batch of `logprob` (half a gigabyte)."""


def open_model(name: str) -> "HuggingFaceModel":
    """Return the model that `hf:PATH_OR_HUB_NAME?option=value&...` stands for.

    Options: `adapter` (folder of a LoRA adapter that answers where a request names none), `dtype` (`auto`,
    `bfloat16`, `float16`, `float32`), `device` (such as `cuda:1`), `batch` (most rows at once).

    Raises:
        ModelError: it cannot be found or loaded, cannot chat, or an option is wrong.
    """
    front, options = split_options(name, OPTIONS)
    return HuggingFaceModel(name, front.removeprefix("hf:"), **options)


class HuggingFaceModel:
    """A `ChatModel` in this process.

    The text drawn for a request depends on its seed, messages, sample index and adapter, and not on what else is
    in the batch, but for rounding: a batch of another shape adds in another order, which can tip a draw that
    stands on the edge (hardly ever in float32, now and then in bfloat16).

    Args:
        name: the name it was asked for by.
        source: a folder, or a name on the hub.
        adapter: folder of a LoRA adapter that answers where a request names none.
        dtype: one of `DTYPES`; `auto` is `fulcrum.hardware.choose_dtype`.
        device: such as `cpu` or `cuda:1`; the first GPU, if there is one, by default.
        batch: most rows at once, always bounded by memory; by default 256 on a GPU and 64 on a CPU, for a small model
            on each core.

    Raises:
        ModelError: it cannot be found or loaded, cannot chat, or an argument is wrong.
    """

    def __init__(
        self,
        name: str,
        source: str,
        *,
        adapter: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        batch: int | str | None = None,
    ) -> None:
        self.name = name
        self._device = open_device(name, device or choose_device())
        if batch is not None and not (str(batch).isdecimal() and int(batch) > 0):
            raise ModelError(f"model {name!r}: batch {batch!r} is not a number of rows; give 1 or more")
        if dtype not in DTYPES:
            raise ModelError(f"model {name!r}: dtype {dtype!r} is none of {', '.join(DTYPES)}")
        self._tokenizer, model = load(name, source)
        declared = model.generation_config.eos_token_id if model.generation_config else None
        stops = [self._tokenizer.eos_token_id, *(declared if isinstance(declared, list) else [declared])]
        stops = [stop for stop in stops if stop is not None]
        if not stops:
            raise ModelError(f"model {name!r}: its tokenizer has no stop token (eos_token), so no answer would end")
        self._stop_token, self._stop_tokens = stops[0], frozenset(stops)
        self._thinking_switch = "enable_thinking" in str(self._tokenizer.chat_template)
        parameters = model.num_parameters()
        self.dtype = choose_dtype(self._device.type, parameters) if dtype == "auto" else getattr(torch, dtype)
        model.to(self._device, self.dtype)
        self._config = model.config
        text_config = model.config.get_text_config(decoder=True)
        self._context: int = getattr(text_config, "max_position_embeddings", None) or sys.maxsize
        self._vocabulary: int = text_config.vocab_size
        self._fingerprint = model_fingerprint(source, model.config, self._tokenizer, self._stop_tokens)
        # A small model merges the adapter that answers, which doubles its operations else, and writes a part of a large
        # batch on each core.
        small = self._device.type == "cpu" and parameters <= SMALL_PARAMETERS
        self._adapters = Adapters(model, merge=small)
        if adapter is not None:
            self._adapters.load(None, Path(adapter))
        self._lanes = torch.get_num_threads() if small else 1
        self._batch_rows = int(batch or (256 if self._device.type == "cuda" else 64 * self._lanes))
        left = memory_bytes(str(self._device)) - parameters * self.dtype.itemsize
        self._batch_tokens = int(CACHE_SHARE * left) // cache_bytes(text_config, self.dtype)
        # Adapters are hooked into the one model while a batch runs.
        self._lock = threading.Lock()

    def load_adapter(self, name: str, path: str | Path) -> None:
        """Load the LoRA adapter in folder `path`, so that requests can name it.

        Raises:
            ModelError: no plain LoRA adapter there, it does not fit, or the name is taken.
        """
        with self._lock:
            self._adapters.load(name, Path(path))

    def unload_adapter(self, name: str) -> None:
        """Free an adapter.

        Raises:
            ModelError: there is none of that name.
        """
        with self._lock:
            self._adapters.unload(name)

    def template_faults(self) -> list[str]:
        """Return what is wrong with the chat template, in phrases; see `fulcrum.chat.template`."""
        return template_faults(self._tokenizer, self._stop_tokens)

    def identity(self, request: Request) -> dict[str, str]:
        """Return hashes of the model and of the adapter that `request` names, and the type it is computed in.

        Raises:
            ModelError: the request names an adapter that is not loaded.
        """
        adapter = self._adapters.fingerprint(request.adapter)
        return {
            "model": self._fingerprint,
            "dtype": str(self.dtype).removeprefix("torch."),
            **({"adapter": adapter} if adapter else {}),
        }

    def generate(self, requests: Iterable[Request]) -> Iterator[Finished]:
        """Answer every request, a batch of one adapter (unless it has few) and similar prompt length at a time.

        Raises:
            ModelError: a request names an adapter that is not loaded, or a batch does not fit the memory.
        """
        jobs, refused = self._read(list(requests))
        if refused:
            yield refused
        jobs.sort(key=lambda job: (job.request.adapter or "", len(job.row.prompt)))
        few: list[_Job] = []
        for _, own in itertools.groupby(jobs, lambda job: job.request.adapter):
            *full, last = self._batches(list(own))
            for batch in full:
                yield self._answer(batch)
            # A batch of several adapters costs twice that of one, so only half-empty ones are put together.
            if 2 * len(last) < self._batch_rows:
                few += last
            else:
                yield self._answer(last)
        for batch in self._batches(few):
            yield self._answer(batch)

    def _batches(self, jobs: Sequence["_Job"]) -> list[Sequence["_Job"]]:
        costs = [len(job.row.prompt) + job.row.limit for job in jobs]
        return [jobs[batch] for batch in cut_batches(costs, self._batch_rows, self._batch_tokens)]

    def logprob(self, requests: Sequence[Request], texts: Sequence[str]) -> list[list[float]]:
        """Return the natural log-probability of each token of `texts[i]` as the answer to `requests[i]`.

        The last token of each is the stop token: the sum is the log-probability that the answer is this text and
        no longer. Temperature 1, nothing cut off; adapters as the requests name them.

        Raises:
            ModelError: a prompt cannot be rendered, does not fit the context with its text, or names an adapter
                that is not loaded.
        """
        for adapter in {request.adapter for request in requests}:
            self._adapters.fingerprint(adapter)
        try:
            prompts = self._tokenize([self._render(request) for request in requests])
        except ValueError as error:
            raise ModelError(f"model {self.name!r}: {error}") from error
        answers = [[*tokens, self._stop_token] for tokens in self._tokenize(texts)]
        items = [
            _Scored(index, request.adapter, prompt, answer)
            for index, (request, prompt, answer) in enumerate(zip(requests, prompts, answers, strict=True))
        ]
        for item in items:
            if len(item.prompt) + len(item.answer) > self._context:
                raise ModelError(
                    f"model {self.name!r}: prompt and text {item.index} have {len(item.prompt) + len(item.answer)} "
                    f"tokens, the context holds {self._context}"
                )
        items.sort(key=lambda item: (item.adapter or "", len(item.prompt) + len(item.answer)))
        costs = [(len(item.answer) + 1) * self._vocabulary for item in items]
        scores: dict[int, list[float]] = {}
        for batch in cut_batches(costs, self._batch_rows, SCORED_LOGITS):
            scores.update(self._score(items[batch]))
        return [scores[index] for index in range(len(items))]

    def close(self) -> None:
        """Free the memory of the model; it is not used after that."""
        del self._adapters
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _read(self, requests: Sequence[Request]) -> tuple[list["_Job"], Finished]:
        """Return what can be answered, and a failure for each request that cannot."""
        refused: Finished = []
        readable: list[tuple[int, Request, str]] = []
        for index, request in enumerate(requests):
            try:
                readable.append((index, request, self._render(request)))
            except ValueError as error:
                refused.append((index, Completion.failed("invalid", str(error), model=self._fingerprint)))
        jobs: list[_Job] = []
        prompts = self._tokenize([text for _, _, text in readable])
        for (index, request, text), prompt in zip(readable, prompts, strict=True):
            room = self._context - len(prompt)
            if room <= 0:
                detail = f"prompt has {len(prompt)} tokens, the context holds {self._context}"
                refused.append((index, Completion.failed("too_long", detail, model=self._fingerprint)))
            else:
                thinking = text.endswith(("<think>", "<think>\n"))
                jobs.append(_Job(index, request, self._row(request, prompt, room), thinking))
        return jobs, refused

    def _render(self, request: Request) -> str:
        """Return the prompt as text; raise `ValueError` if the template or the tokenizer cannot take it."""
        switch = {"enable_thinking": request.sampling.thinking} if self._thinking_switch else {}
        try:
            text = self._tokenizer.apply_chat_template(
                [template_message(message) for message in request.messages],
                tools=[tool.to_json() for tool in request.tools] or None,
                tokenize=False,
                add_generation_prompt=True,
                **switch,
            )
            text.encode()
        except TemplateError as error:
            raise ValueError(f"the chat template refuses the prompt: {error}") from error
        except UnicodeEncodeError as error:
            raise ValueError(f"the prompt cannot be written as UTF-8: {error}") from error
        return text

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _row(self, request: Request, prompt: list[int], room: int) -> Row:
        sampling = request.sampling
        messages = [message.to_json() for message in request.messages]
        adapter = self._adapters.fingerprint(request.adapter)

        def stops_at(tokens: list[int], new: int) -> int | None:
            ends = range(len(tokens) - new + 1, len(tokens) + 1)
            return next((end for end in ends if any(stop in self._text(tokens[:end]) for stop in sampling.stop)), None)

        return Row(
            prompt,
            limit=min(sampling.max_tokens, room),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=seed_from(sampling.seed, messages, request.sample, adapter),
            adapter=request.adapter,
            stops_at=stops_at if sampling.stop else None,
        )

    def _answer(self, jobs: Sequence["_Job"]) -> Finished:
        started = time.perf_counter()
        with self._lock:
            try:
                self._write([job.row for job in jobs], any(job.request.sampling.logprobs for job in jobs))
            except torch.OutOfMemoryError as error:
                raise self._out_of_memory(len(jobs)) from error
        seconds = (time.perf_counter() - started) / len(jobs)
        return [(job.index, self._completion(job, seconds)) for job in jobs]

    def _write(self, rows: Sequence[Row], logprobs: bool) -> None:
        """Write the rows of a batch to their ends, one part of them in each lane."""
        # PEFT's hooks for several adapters would be seen by the other lanes.
        alike = len({row.adapter for row in rows}) == 1
        lanes = min(self._lanes, len(rows) // LANE_ROWS) if alike else 1
        size = -(-len(rows) // max(1, lanes))
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]

        def write(part: Sequence[Row]) -> None:
            decode(
                self._adapters.forward,
                self._config,
                part,
                self._stop_tokens,
                pad=self._stop_token,
                device=self._device,
                logprobs=logprobs,
            )

        if len(parts) == 1:
            write(parts[0])
            return
        threads = torch.get_num_threads()
        share = max(1, threads // len(parts))
        try:
            with ThreadPoolExecutor(len(parts), initializer=torch.set_num_threads, initargs=(share,)) as pool:
                list(pool.map(write, parts))
        finally:
            torch.set_num_threads(threads)  # what a lane said holds for every thread that is started after it

    def _completion(self, job: "_Job", seconds: float) -> Completion:
        """Return what the tokens of a finished row say."""
        row, sampling = job.row, job.request.sampling
        text = self._text(row.tokens)
        if places := [place for stop in sampling.stop if (place := text.find(stop)) >= 0]:
            text = text[: min(places)]
        reasoning, text = split_reasoning(text, job.thinking_open)
        calls = ()
        if job.request.tools:
            text, calls = take_tool_calls(text, f"call_{len(job.request.messages)}_")
        failure = None
        if row.ended == "length":
            full = row.limit < sampling.max_tokens
            what = f"the context of {self._context} tokens is full" if full else f"max_tokens is {row.limit}"
            failure = Failure("truncated", f"cut after {row.limit} tokens: {what}")
        elif not text.strip() and not calls:
            failure = Failure("empty", "thinking, but no answer" if reasoning else "the model ended without a word")
        return Completion(
            text,
            finish_reason="length" if row.ended == "length" else "tool_calls" if calls else "stop",
            usage=Usage(len(row.prompt), len(row.tokens)),
            seconds=seconds,
            model=self._fingerprint,
            failure=failure,
            tool_calls=calls,
            reasoning=reasoning,
            logprobs=tuple(row.logprobs) if sampling.logprobs else None,
        )

    @torch.inference_mode()
    def _score(self, items: Sequence["_Scored"]) -> dict[int, list[float]]:
        ids, mask, positions = left_padded(
            [item.prompt + item.answer for item in items], self._stop_token, self._device
        )
        longest = max(len(item.answer) for item in items)
        with self._lock:
            try:
                logits = self._adapters.forward(
                    [item.adapter for item in items],
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    use_cache=False,
                    logits_to_keep=longest + 1,
                )[:, -longest - 1 : -1]
            except torch.OutOfMemoryError as error:
                raise self._out_of_memory(len(items)) from error
        chosen = logits.float().log_softmax(-1).gather(-1, ids[:, -longest:, None]).squeeze(-1).tolist()
        return {item.index: row[longest - len(item.answer) :] for item, row in zip(items, chosen, strict=True)}

    def _out_of_memory(self, rows: int) -> ModelError:
        return ModelError(
            f"model {self.name!r}: {rows} rows at once do not fit the memory of {self._device}; "
            f"add ?batch={max(1, rows // 2)} to its name, or lower max_tokens"
        )


@dataclass(frozen=True)
class _Job:
    """A request on its way: its place among the requests, and the row that is written for it."""

    index: int
    request: Request
    row: Row
    thinking_open: bool


@dataclass(frozen=True)
class _Scored:
    """A text to score: its place, and the tokens of its prompt and of itself."""

    index: int
    adapter: str | None
    prompt: list[int]
    answer: list[int]
