"""`method = "supplement"`: what it needs, what it will cost, what it is compared with, and what it deploys."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from fulcrum.artifact import Artifact, Deployed, OpenModel, read_artifact
from fulcrum.chat import ChatModel, Sampling
from fulcrum.evaluation.baselines import Direct, SelfConsistency
from fulcrum.methods import Contender, PlannedCalls, Role, asked_by_the_task, planned_turns, prompt_tokens
from fulcrum.recipe import Recipe
from fulcrum.runs import Run
from fulcrum.supplement.artifact import STATIC_PROMPT, generator_name, write_artifact
from fulcrum.supplement.collector import PATIENCE
from fulcrum.supplement.controls import Fixed, Padded, Shuffled, WrongAnswer
from fulcrum.supplement.learn import learn
from fulcrum.supplement.schedule import allowance, round_pool, warm_start_pool
from fulcrum.supplement.settings import SupplementSettings
from fulcrum.supplement.solver import Help, Supplemented
from fulcrum.supplement.trainers import policy_steps
from fulcrum.supplement.wording import WORDINGS
from fulcrum.supplement.writer import writer_of
from fulcrum.task import Split, Task
from fulcrum.task.scorers import JudgeScorer
from fulcrum.training.source import trainable_source

SUPPLEMENTED, SHUFFLED, WITHOUT_ANSWERS = "supplemented", "shuffled supplement", "without answer and cot"
DOSE, EMPTIED = "wrong answer dose", "emptied block"
SOLVING_FORMS = frozenset({"answer", "cot"})
"""Forms in which a generator can hand over a solution instead of help."""


class SupplementMethod:
    """A small trained generator writes help for a frozen actor, question by question."""

    name = "supplement"
    summary = "A small trained model writes help for a large frozen one (SGT, arXiv 2604.20727)."
    settings = SupplementSettings
    quick: ClassVar[Mapping[str, str]] = {
        "rounds": "0",
        "samples": "2",
        "spend": "0.5",
        "queries": "220",
        "dev_queries": "40",
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "actor": Role("answers the task; frozen", default="lab:large"),
        "generator": Role("writes the supplements; trained", default="lab:small", trained=True),
    }

    def plan(self, recipe: Recipe) -> Sequence[PlannedCalls]:
        """Return the calls of training and of the evaluation on the test split, at most.

        A dialogue counts as one of average length.

        Raises:
            ModelError: the generator cannot be trained.
            TaskError: a split is empty, or has no targets to learn from.
        """
        settings, task = recipe.settings_as(SupplementSettings), recipe.task
        _refuse_what_cannot_work(recipe)
        train, dev, test = (len(task.examples(split)) for split in ("train", "dev", "test"))
        train, dev = min(settings.queries or train, train), min(settings.dev_queries or dev, dev)
        answer, note = settings.answer_tokens or task.max_tokens, settings.max_tokens
        prompt = prompt_tokens(task, answer)
        length = planned_turns(task)
        notes = length if settings.when == "turn" else 1
        rest = (length + 1) // 2 if settings.when == "turn" else length  # from a turn on, on average
        pools = {"warm start": warm_start_pool(settings)}
        pools |= {f"round {number}": round_pool(settings, number) for number in range(1, settings.rounds + 1)}
        rows = [PlannedCalls("alone", "actor", train * settings.label_samples * length, prompt, answer)]
        rows.append(PlannedCalls("luck", "actor", train * settings.luck_samples * length, prompt, answer))
        for name, pool in pools.items():
            tried = allowance(pool, settings, train)
            drafts = train * pool.size * (PATIENCE if settings.schedule == "adaptive" else 1)
            if settings.trainer == "grpo" and name != "warm start":  # the trainer itself writes the drafts
                tried = policy_steps(settings, tried) * settings.policy.batch_size * settings.label_samples
                drafts = 0
            rows.append(PlannedCalls(name, "generator", drafts, prompt, note))
            rows.append(PlannedCalls(name, "actor", tried * rest, prompt + note, answer))
            rows.append(PlannedCalls(f"{name}, dev", "generator", dev * notes, prompt, note))
            rows.append(PlannedCalls(f"{name}, dev", "actor", dev * length, prompt + note, answer))
        rows.append(PlannedCalls("dev alone", "actor", dev * length, prompt, answer))
        # Notes of the trained generator and of the untrained one. Written at each turn, they differ from dialogue to
        # dialogue: the method's, two controls' and the ablation's.
        written = (5 if settings.when == "turn" else 2) * notes + bool(task.scorer)
        # Alone, the method, three controls with a writer and the actor's own, two with a fixed block; the ablation
        # repeats what was asked before, but for dialogues with notes at each turn. A vote, and a dose.
        answered = (8 + (settings.when == "turn")) * length + (settings.votes + 1 if task.scorer else 0)
        rows.append(PlannedCalls("evaluation", "generator", written * test, prompt, max(note, answer)))
        rows.append(PlannedCalls("evaluation", "actor", answered * test, prompt + note, answer))
        turns = sum(row.calls for row in rows if row.role == "actor")
        rows.append(PlannedCalls("evaluation, own notes", "actor", notes * test, prompt, note))
        rows += asked_by_the_task(recipe, answer, turns // length + test * bool(task.scorer))  # the generator alone
        return [row for row in rows if row.calls]

    def learn(self, run: Run) -> None:
        """Train the generator and write the artifact."""
        settings = run.recipe.settings_as(SupplementSettings)
        _refuse_what_cannot_work(run.recipe)
        learned = learn(run, settings)
        write_artifact(run, settings, learned)
        run.log("learned", artifact=str(run.artifact.name), chosen=learned.chosen, sentence=learned.sentence)

    def contenders(self, run: Run) -> Sequence[Contender]:
        """Return the actor alone, the method, and everything that could explain its gain away.

        Raises:
            RunError: the run has not learned yet.
        """
        return contenders(run, run.model("actor"), run.task)

    def deploy(self, artifact: Artifact, open_model: OpenModel) -> Deployed:
        """Return the writer that puts a supplement into each request."""
        settings = SupplementSettings.model_validate(artifact.settings)
        return writer_of(open_model(generator_name(artifact, settings)), settings)


def _refuse_what_cannot_work(recipe: Recipe) -> None:
    """Refuse before any call what would only be found after the pool of the warm start was paid for."""
    trainable_source(recipe.models["generator"])
    splits: tuple[Split, ...] = ("train", "dev")
    for split in splits:
        recipe.task.examples(split)  # refuses one that is empty
        recipe.task.require_targets(split)


def contenders(run: Run, actor: ChatModel, task: Task) -> list[Contender]:
    """Return the solvers of an evaluation in front of any actor, on any task; the baseline first.

    A dialogue has no answer to vote on, to pass around, or to be given by the generator alone.

    Raises:
        RunError: the run has not learned yet.
    """
    artifact, settings = read_artifact(run.folder), run.recipe.settings_as(SupplementSettings)
    own_limit = settings.answer_tokens if task.fingerprint == run.task.fingerprint else None
    limit = own_limit or task.max_tokens
    greedy = Sampling(max_tokens=limit)
    drawn = Sampling(1.0, max_tokens=limit, seed=run.recipe.seed)
    wording = WORDINGS[settings.wording]
    generator = run.model("generator", generator_name(artifact, settings))
    writer = writer_of(generator, settings)
    silenced = writer_of(generator, settings, without=SOLVING_FORMS)
    untrained, own = (writer_of(model, settings) for model in (run.model("generator"), actor))
    static = (artifact.folder / STATIC_PROMPT).read_text(encoding="utf-8")

    def helped(name: str, help: Help) -> Contender:
        own = name in (SUPPLEMENTED, WITHOUT_ANSWERS)  # the second is an ablation, no other explanation
        return Contender(Supplemented(name, help, actor, greedy), "method" if own else "control")

    found = [
        Contender(Direct(actor, greedy), "baseline"),
        helped(SUPPLEMENTED, writer.rewrite_turns),
        helped(SHUFFLED, Shuffled(writer)),
        helped("length-matched dummy", Padded(writer)),
        helped(EMPTIED, Fixed("", wording, settings.when)),
        helped(WITHOUT_ANSWERS, silenced.rewrite_turns),
        helped("untrained generator", untrained.rewrite_turns),
        helped("actor's own supplement", own.rewrite_turns),
        helped("static prompt", Fixed(static, wording, settings.when)),
    ]
    if task.scorer:
        votes = SelfConsistency(actor, settings.votes, drawn, task.scorer.answer_key)
        found += [
            Contender(Direct(generator, greedy, name="generator alone"), "control"),
            Contender(votes, "control"),
            helped(DOSE, WrongAnswer(writer, actor, task.scorer.answer_key)),
        ]
    if task.scorer and not isinstance(task.scorer, JudgeScorer):  # it costs no call: the draws are those of the vote
        found.append(Contender(Direct(actor, drawn, name="oracle"), "ceiling", draws=settings.votes))
    return found


METHOD = SupplementMethod()
