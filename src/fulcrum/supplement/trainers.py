"""Three trainers over one rollout store: each takes the generator's weights one round further."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fulcrum.calls import RecordedModel
from fulcrum.chat import Message, resolve
from fulcrum.hashing import seed_from
from fulcrum.lazy import load
from fulcrum.runs import Run
from fulcrum.supplement.bench import Bench, Wish
from fulcrum.supplement.forms import FREE, Supplement, read_supplement
from fulcrum.supplement.labels import Alone, Pair
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.trials import State
from fulcrum.supplement.wording import WORDINGS, prompt_of
from fulcrum.training.job import OnStep
from fulcrum.training.rows import ChatRow, PreferenceRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.source import trainable_source, trained_name

Reward = Callable[[list[tuple[Message, ...]], list[str]], list[float | None]]


@dataclass(frozen=True, slots=True)
class Weights:
    """A generator: a model of the recipe, and what the last training made of it.

    Attributes:
        name: the model's name in the recipe.
        tuning: `lora` or `full`.
        trained: folder of the adapter or the whole model; None before the first training.
    """

    name: str
    tuning: str
    trained: Path | None = None

    @property
    def model_name(self) -> str:
        """Name under which the generator as it is now can be opened."""
        return trained_name(self.name, self.trained, self.tuning) if self.trained else self.name

    @property
    def model(self) -> str:
        """Folder or hub name that a trainer starts from."""
        return str(self.trained) if self.trained and self.tuning == "full" else trainable_source(self.name)

    @property
    def adapter(self) -> Path | None:
        """Adapter that a trainer continues."""
        return self.trained if self.tuning == "lora" else None

    def could_write(self, supplement: Supplement, max_tokens: int) -> bool:
        """Return whether a draft could be this supplement: with a first line that is read back, and not cut."""
        if read_supplement(supplement.text) != supplement:
            return False
        tokens = _tokenizer(trainable_source(self.name)).encode(supplement.text, add_special_tokens=False)
        return len(tokens) < max_tokens  # the token that ends it is one too

    def after(self, trained: Path) -> "Weights":
        """Return the generator after one more training."""
        return Weights(self.name, self.tuning, trained)

    @contextmanager
    def opened(self, run: Run) -> Generator[RecordedModel]:
        """Open the generator, and free it again: while it is trained there is no second copy in memory."""
        model = RecordedModel(resolve(self.model_name), "generator", run.store, run.ledger, run.budget)
        try:
            yield model
        finally:
            model.close()


@cache
def _tokenizer(source: str) -> Any:
    return load("transformers:AutoTokenizer").from_pretrained(source)


@dataclass(frozen=True)
class Trainers:
    """The trainers with all that they share.

    Attributes:
        run: whose task's questions the generator reads.
        settings: of the method.
    """

    run: Run
    settings: SupplementSettings

    def imitate(
        self,
        weights: Weights,
        examples: Sequence[tuple[State, Supplement]],
        settings: TrainingSettings,
        output: Path,
    ) -> None:
        """Finetune on supplements that helped: the warm start, and the rounds of `trainer = "sft"`."""
        finetune = load("fulcrum.training.sft:finetune")
        rows = [ChatRow(self.prompt(state), supplement.text) for state, supplement in examples]
        settings = self._seeded(settings, output)
        finetune(weights.model, rows, output, settings, adapter=weights.adapter, on_step=self._on_step)

    def prefer(self, weights: Weights, pairs: Sequence[Pair], output: Path) -> None:
        """Train with DPO and the winner's likelihood, row by row; the reference is the generator as it comes in."""
        prefer = load("fulcrum.training.preference:prefer")
        rows = [
            PreferenceRow(self.prompt(pair.winner.state), pair.winner.supplement.text, pair.loser.supplement.text)
            for pair in pairs
        ]
        settings = self._seeded(self.settings.preference, output)
        start = weights.adapter
        prefer(weights.model, rows, output, settings, adapter=start, reference="start", on_step=self._on_step)

    def reinforce(
        self, weights: Weights, bench: Bench, states: Sequence[State], alone: Alone, calls: int, output: Path
    ) -> None:
        """Optimise against the actor with GRPO.

        Args:
            weights: where to start.
            bench: the actor.
            states: what to write for.
            alone: the actor's scores without help.
            calls: answers of the actor to spend, unless the settings say how many steps to make.
            output: folder to be made.
        """
        optimise = load("fulcrum.training.policy:optimise")
        settings = self._seeded(self.settings.policy, output).model_copy(
            update={
                "steps": policy_steps(self.settings, calls),
                "max_tokens": self.settings.max_tokens,
                "temperature": self.settings.temperature,
            }
        )
        prompts = {self.prompt(state): state for state in states}
        reward = uplift_reward(bench, prompts, alone)
        start = weights.adapter
        optimise(
            weights.model,
            list(prompts),
            reward,
            output,
            settings,
            cut_reward=0.0,  # deployed, it is never used: the actor answers alone
            adapter=start,
            on_step=self._on_step,
        )

    def prompt(self, state: State) -> tuple[Message, ...]:
        """Return what the generator is asked in a state: always the free request, which is the one deployed."""
        query, since = state
        messages = (*self.run.task.open(query).messages, *since)
        return WORDINGS[self.settings.wording].request(prompt_of(messages, self.settings.when), FREE)

    @property
    def _on_step(self) -> OnStep:
        return self.run.on_step("generator")

    def _seeded(self, settings: TrainingSettings, output: Path) -> TrainingSettings:
        return settings.model_copy(update={"seed": seed_from(self.run.recipe.seed, output.parent.name) % 2**32})


def policy_steps(settings: SupplementSettings, calls: int) -> int:
    """Return the steps of a round of GRPO: what the settings say, or what so many answers of the actor suffice for."""
    return settings.policy.steps or max(1, calls // (settings.policy.batch_size * settings.label_samples))


def uplift_reward(bench: Bench, prompts: Mapping[tuple[Message, ...], State], alone: Alone) -> Reward:
    """Return the reward of a completion: the actor's score with it, less its score alone; None if that is no label."""

    def uplift(asked: list[tuple[Message, ...]], completions: list[str]) -> list[float | None]:
        wishes = [
            Wish(prompts[prompt], FREE, given=read_supplement(text))
            for prompt, text in zip(asked, completions, strict=True)
        ]
        return [
            sum(trial.labels) / len(trial.labels) - alone[trial.query] if trial.labels else None
            for trial in bench.play(wishes)
        ]

    return uplift
