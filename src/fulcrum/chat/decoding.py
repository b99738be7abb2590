# pyright: basic
"""The decode loop: a batch of prompts in, the tokens of every row out.

It stands in for `transformers`' `generate()` because it costs less than half as much on a CPU (the cache grows in
place instead of being copied for every token), pays nothing for rows that have ended, reads equal prompts and what all
prompts begin with once, and draws each row by its own settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

from fulcrum.chat.sampling import RowSampler

CHECK_EVERY = 4
"""Steps between two looks at which rows have ended; a look makes a GPU wait."""

DROP_SHARE = 0.25
"""Ended rows are dropped once they are this share of the batch; dropping copies the cache of the others."""

SHARED_TOKENS = 16
"""Fewer tokens than this at the beginning of all prompts are not worth a step of their own."""

Forward = Callable[..., torch.Tensor]
"""`forward(adapters, **model_inputs) -> logits`: runs the model, each row under its adapter."""


@dataclass
class Row:
    """One completion being written.

    Attributes:
        prompt: token ids.
        limit: most tokens that may be written.
        temperature: 0 is greedy.
        top_p: share of probability that is kept.
        seed: of this row's random numbers.
        adapter: name of the adapter that writes; None means the base.
        stops_at: how many of the tokens to keep, if they hold a stop string; None if they do not. It is given all
            tokens so far, and how many of them are new.
        tokens: what was written, the stop token included.
        logprobs: natural log-probability of each of `tokens` under the model at temperature 1, nothing cut off.
        ended: `stop` or `length`, once the row has ended.
    """

    prompt: list[int]
    limit: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    adapter: str | None = None
    stops_at: Callable[[list[int], int], int | None] | None = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: Literal["stop", "length"] | None = None

    def extend(self, tokens: list[int], logprobs: list[float], stop_tokens: frozenset[int]) -> None:
        """Take the next tokens, as far as the row goes on."""
        start = len(self.tokens)
        tokens = tokens[: self.limit - start]
        for place, token in enumerate(tokens):
            if token in stop_tokens:
                tokens, self.ended = tokens[: place + 1], "stop"
                break
        self.tokens += tokens
        self.logprobs += logprobs[: len(tokens)]
        if self.stops_at is not None and (kept := self.stops_at(self.tokens, len(tokens))) is not None:
            del self.tokens[kept:], self.logprobs[kept:]
            self.ended = "stop"
        elif self.ended is None and len(self.tokens) == self.limit:
            self.ended = "length"


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, in a buffer with room for more, so that a new token copies nothing old."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        """Append keys and values (rows x heads x tokens x width), and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_room, self._value_room = key_states[:, :, :0], value_states[:, :, :0]
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if end > self._key_room.shape[-2]:
            self._key_room = _with_room(self._key_room[:, :, :start], end)
            self._value_room = _with_room(self._value_room[:, :, :start], end)
        self._key_room[:, :, start:end] = key_states
        self._value_room[:, :, start:end] = value_states
        self.keys, self.values = self._key_room[:, :, :end], self._value_room[:, :, :end]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Go on with these rows, which may be fewer or repeated."""
        end = self.get_seq_length()
        self._key_room = self._key_room.index_select(0, beam_idx)
        self._value_room = self._value_room.index_select(0, beam_idx)
        self.keys, self.values = self._key_room[:, :, :end], self._value_room[:, :, :end]


def _with_room(states: torch.Tensor, length: int) -> torch.Tensor:
    rows, heads, used, width = states.shape
    room = states.new_empty(rows, heads, length + max(64, length // 4), width)
    room[:, :, :used] = states
    return room


def growing_cache(config: PreTrainedConfig) -> DynamicCache:
    """Return an empty cache for a model; layers other than full attention stay what they are."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def left_padded(
    prompts: Sequence[Sequence[int]], pad: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return token ids, attention mask and positions of some prompts (each prompts x longest)."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


def cut_batches(costs: Sequence[int], rows: int, room: int) -> list[slice]:
    """Return where to cut a sequence of rows into batches, from its beginning.

    What is left after some batches is cut as it was before, so a resumed run forms the same batches.

    Args:
        costs: of each row, such as its length; every row of a batch is padded to the dearest.
        rows: most rows in a batch.
        room: most that a batch may cost, padding included; a row dearer than that is a batch of its own.
    """
    batches: list[slice] = []
    start = dearest = 0
    for end, cost in enumerate(costs):
        dearest = max(dearest, cost)
        size = end + 1 - start
        if size > 1 and (size > rows or size * dearest > room):
            batches.append(slice(start, end))
            start, dearest = end, cost
    return [*batches, slice(start, len(costs))] if costs else []


@torch.inference_mode()
def decode(
    forward: Forward,
    config: PreTrainedConfig,
    rows: Sequence[Row],
    stop_tokens: frozenset[int],
    *,
    pad: int = 0,
    device: torch.device | str = "cpu",
    logprobs: bool = False,
) -> None:
    """Write every row to its end.

    Args:
        forward: the model.
        config: the model's configuration, which says what its cache is.
        rows: what to write; their tokens are filled in.
        stop_tokens: tokens that end a row.
        pad: any token id; what stands there is masked.
        device: where the model is.
        logprobs: whether to keep the log-probability of each token.
    """
    # Equal prompts under the same adapter are read once, and so is what all begin with; the cache is then repeated.
    prompts = list({(row.adapter, tuple(row.prompt)): None for row in rows})
    place = {prompt: index for index, prompt in enumerate(prompts)}
    cache = growing_cache(config)
    shared = _shared([prompt for _, prompt in prompts]) if _takes_gaps(cache) else []
    ids, mask, positions = left_padded([prompt[len(shared) :] for _, prompt in prompts], pad, device)
    mask = torch.cat([mask.new_ones(len(prompts), len(shared)), mask], -1)
    positions += len(shared)
    padded = not bool(mask.all())

    def step(
        adapters: Sequence[str | None], ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor
    ) -> torch.Tensor:
        return forward(
            adapters,
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )[:, -1]

    def go_on(sources: Sequence[int]) -> torch.Tensor:
        index = torch.tensor(sources, device=device)
        cache.reorder_cache(cast(torch.LongTensor, index))
        return index

    live = list(rows)
    if shared:
        adapters = list(dict.fromkeys(adapter for adapter, _ in prompts))
        beginning = torch.tensor([shared] * len(adapters), device=device)
        step(adapters, beginning, None, torch.arange(len(shared), device=device).expand_as(beginning))
        go_on([adapters.index(adapter) for adapter, _ in prompts])
    logits = step([adapter for adapter, _ in prompts], ids, mask if padded else None, positions)
    positions = positions[:, -1:]
    if len(prompts) < len(live):
        source = go_on([place[row.adapter, tuple(row.prompt)] for row in live])
        logits, mask, positions = logits[source], mask[source], positions[source]
    limits = {row.limit for row in live}
    # A row that has ended is carried along for a while, but not past the last position the model may have.
    furthest = max(len(row.prompt) + row.limit for row in live) - 1
    sampler = RowSampler(
        [row.temperature for row in live],
        [row.top_p for row in live],
        [row.seed for row in live],
        max(limits),
        device,
    )
    drawn: list[torch.Tensor] = []
    scores: list[torch.Tensor] = []
    for index in range(max(limits)):
        tokens = sampler.draw(logits, index)
        drawn.append(tokens)
        if logprobs:
            scores.append(logits.float().log_softmax(-1).gather(-1, tokens[:, None]).squeeze(-1))
        if len(drawn) == CHECK_EVERY or index + 1 in limits:
            _hand_out(live, drawn, scores, stop_tokens)
            going = [position for position, row in enumerate(live) if row.ended is None]
            if not going:
                return
            if len(live) - len(going) >= DROP_SHARE * len(live):
                keep = go_on(going)
                live = [live[position] for position in going]
                sampler.keep(keep)
                tokens, mask, positions = tokens[keep], mask[keep], positions[keep]
        positions = (positions + 1).clamp(max=furthest)
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], -1)
        logits = step([row.adapter for row in live], tokens[:, None], mask if padded else None, positions)


def _takes_gaps(cache: DynamicCache) -> bool:
    """Return whether padding may stand inside a row: where a layer counts back over its cache it may not."""
    return all(type(layer) is GrowingLayer for layer in cache.layers)


def _shared(prompts: Sequence[tuple[int, ...]]) -> list[int]:
    """Return the tokens with which all prompts begin, if that is worth a step; each keeps a last token of its own."""
    if len(prompts) == 1:
        return []
    first, last = min(prompts), max(prompts)  # in the order of a dictionary: the others lie between
    same = next(
        (count for count, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
    count = min(same, min(map(len, prompts)) - 1)
    return list(prompts[0][:count]) if count >= SHARED_TOKENS else []


def _hand_out(
    live: Sequence[Row], drawn: list[torch.Tensor], scores: list[torch.Tensor], stop_tokens: frozenset[int]
) -> None:
    """Give each row that still goes on what was drawn for it since the last look, and start anew."""
    tokens = torch.stack(drawn, -1).tolist()
    logprobs = torch.stack(scores, -1).tolist() if scores else [[]] * len(live)
    for row, new_tokens, new_logprobs in zip(live, tokens, logprobs, strict=True):
        if row.ended is None:
            row.extend(new_tokens, new_logprobs, stop_tokens)
    drawn.clear()
    scores.clear()
