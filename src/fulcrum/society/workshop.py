"""Where a society is made: every step of the algorithm as a stage of a run, so that a kill costs nothing."""

import random
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fulcrum.atomic import read_json, read_lines, write_json, write_lines
from fulcrum.calls import RecordedModel
from fulcrum.chat import ChatModel, Request, Sampling
from fulcrum.errors import SettingsError
from fulcrum.evaluation.baselines import Direct
from fulcrum.evaluation.rollouts import roll_out
from fulcrum.evaluation.solver import Solver, Turn
from fulcrum.hashing import content_hash, seed_from
from fulcrum.runs import Run
from fulcrum.runs.learn import RIVALS
from fulcrum.society.arms import ARMS, Agents, Arm, Line, line_shown
from fulcrum.society.cast import Cast, Speaker, Voices, adapter_host
from fulcrum.society.debate import Debate, Transcript
from fulcrum.society.diversity import diversity, likelihoods
from fulcrum.society.feedback import Feedback, append_feedback, read_feedback, simulate
from fulcrum.society.labels import PseudoLabel, all_said, label_report, right_answers, without_chance
from fulcrum.society.measure import DIRECT, Point, point_of, transcripts_of
from fulcrum.society.rows import TrainingRow, Vetoes, empty_pools
from fulcrum.society.settings import DebateSettings, SocietySettings
from fulcrum.society.tuning import WEIGHTS, Tuning, TuningJob, train
from fulcrum.task import Example, Split
from fulcrum.training.rows import PreferenceRow
from fulcrum.training.settings import TrainingSettings
from fulcrum.training.source import parameters_of, trainable_source
from fulcrum.workers import work_ahead

DEBATES = "debates.jsonl"
LABELS = "labels.json"
ROWS = "rows.jsonl"


@dataclass(frozen=True, slots=True)
class Session:
    """The debates of one iteration of one line.

    Attributes:
        line: who debated.
        iteration: from 1.
        stage: name of the stage folder that holds the debates.
        debates: one a question, and after them those that were held again.
    """

    line: Line
    iteration: int
    stage: str
    debates: list[Transcript]


class Workshop:
    """Debates, finetunes and measures for one run.

    Args:
        run: where everything is kept.
        settings: how.

    Raises:
        ModelError: the model cannot hold adapters.
    """

    def __init__(self, run: Run, settings: SocietySettings) -> None:
        self.run = run
        self.settings = settings
        self.task = run.task
        self._model = run.model("agent")
        self._host = adapter_host(self._model.model)
        self._voices = Voices(self._host, self._record)
        self._for_rivals = False
        self._limit = settings.debate.max_tokens or run.task.max_tokens

    def close(self) -> None:
        """Free the agents."""
        self._voices.close()

    def _record(self, model: ChatModel, role: str) -> ChatModel:
        role = RIVALS if self._for_rivals else role
        return RecordedModel(model, role, self.run.store, self.run.ledger, self.run.budget)

    @contextmanager
    def _learning(self, line: Line | None) -> Generator[None]:
        """Count what is asked meanwhile as learning of the society, or of a line that it is only compared with."""
        self._for_rivals = line is not None and line.name != "society"
        try:
            yield
        finally:
            self._for_rivals = False

    def seed(self, line: Line, iteration: int) -> int:
        """Return the seed of an iteration; the first is the same for all lines, whose agents are all the base yet."""
        return seed_from(self.run.recipe.seed, iteration, *([line.name] if iteration > 1 else []))

    # The questions

    @cached_property
    def _train(self) -> list[Example]:
        examples = list(self.task.examples("train"))
        random.Random(seed_from(self.run.recipe.seed, "questions")).shuffle(examples)
        wanted = self.settings.questions * (self.settings.iterations if self.settings.draw == "fresh" else 1)
        if wanted > len(examples):
            raise SettingsError(
                f"settings.questions: {wanted} train questions wanted, {self.task.name} has {len(examples)}; "
                'lower questions, or iterations, or set draw to "same"'
            )
        return examples

    def examples(self, iteration: int) -> list[Example]:
        """Return what is debated in an iteration; after the last, where no fresh questions are left, the first again.

        Raises:
            SettingsError: the train split has too few.
        """
        count = self.settings.questions
        start = (iteration - 1) * count if self.settings.draw == "fresh" else 0
        start = start if start + count <= len(self._train) else 0
        return self._train[start : start + count]

    def example(self, question_id: str) -> Example:
        """Return a train example."""
        return next(example for example in self._train if example.id == question_id)

    # Debate and labels

    def solver(self, arm: Arm, agents: Agents | None) -> Debate:
        """Return an arm as a solver, with the weights given; None is the base."""
        debate, seed = self.settings.debate, self.run.recipe.seed
        return self._debate(arm.cast(agents, debate), arm.settings(debate), seed, arm.name)

    def _debate(self, cast: Cast, settings: DebateSettings, seed: int, name: str) -> Debate:
        key, limit = self.task.answer_key, self._limit
        return Debate(self._voices, cast, settings, key, max_tokens=limit, seed=seed, name=name)

    @property
    def direct(self) -> Solver:
        """The base's greedy answer: the baseline."""
        return Direct(self._model, Sampling(max_tokens=self._limit), name=DIRECT)

    def alone(self, weights: Path, name: str) -> Debate:
        """Return one agent as a solver that answers once and greedily, as it is served."""
        speaker = Speaker("generator", weights)
        settings = self.settings.debate.model_copy(update={"agents": 1, "rounds": 1, "temperature": 0.0})
        return self._debate(Cast((speaker,), (speaker,)), settings, self.run.recipe.seed, name)

    def debate(self, line: Line, iteration: int, agents: Agents) -> Session:
        """Debate the questions of an iteration."""
        questions = [self.task.question(example) for example in self.examples(iteration)]
        return self._session("debate", line, iteration, agents, [Turn(one, one.messages) for one in questions])

    def debate_again(
        self, session: Session, labels: Sequence[PseudoLabel], agents: Agents
    ) -> tuple[Session, list[PseudoLabel]]:
        """Debate again what a person gave an answer to, and return all debates, each with its label.

        A label teaches nothing to an agent whose answers do not match it, and where votes are split few do. A person's
        label is known to be right, so what matches it in further debates may be learnt as well. Once every agent has
        given the answer, first and last, a question is left.
        """
        labels = list(labels)
        fixed = [label for label in labels if label.source == "person" and label.answer is not None]
        for sample in range(1, self.settings.again + 1):
            fixed = [label for label in fixed if not all_said(label, session.debates)]
            if not fixed:
                break
            questions = [self.task.question(self.example(label.question_id)) for label in fixed]
            turns = [Turn(question, question.messages, sample) for question in questions]
            session = self._session(f"again-{sample}", session.line, session.iteration, agents, turns, session)
            labels += fixed
        return session, labels

    def _session(
        self,
        kind: str,
        line: Line,
        iteration: int,
        agents: Agents,
        turns: Sequence[Turn],
        earlier: Session | None = None,
    ) -> Session:
        """Hold debates in a stage of their own, which keeps earlier ones of the iteration before them."""
        held = earlier.debates if earlier else []
        debate, seed = line.settings(self.settings.debate), self.seed(line, iteration)
        solver = self._debate(line.cast(agents, debate.agents), debate, seed, line.name)

        def work(folder: Path) -> None:
            with self._learning(line):
                transcripts = solver.hold(turns)
            self.run.budget.check()  # what the budget cut short is no debate
            write_lines(folder / DEBATES, [transcript.to_json() for transcript in (*held, *transcripts)])

        inputs = {
            "questions": [turn.question.id for turn in turns],
            "debate": debate.model_dump(mode="json"),
            "seed": seed,
            **self._who(agents),
            **({"after": earlier.stage} if earlier else {}),
        }
        folder = self.run.stage(f"{kind}-{line.name}-{iteration}", inputs, work)
        return Session(line, iteration, folder.name, read_debates(folder))

    def _who(self, agents: Agents | None) -> dict[str, Any]:
        """Return what the answers of some agents depend on; weights are known by their stage, which is a hash."""
        return {
            "task": self.task.fingerprint,
            "model": self._host.identity(Request(())),
            "agents": {agent: path and self._below(path) for agent, path in (agents or {}).items()},
        }

    def _below(self, path: Path) -> str:
        return path.relative_to(self.run.folder).as_posix()

    def corrected(self, session: Session, labels: Sequence[PseudoLabel]) -> list[PseudoLabel]:
        """Return the labels after what people said, a simulated one after the first debate that people are shown."""
        annotator = self.settings.annotator
        if annotator.labels and session.line == line_shown(self.settings.arms) and session.iteration == 1:

            def work(folder: Path) -> None:
                events = simulate(session.debates, right_answers(self.task, "train"), annotator, self.run.recipe.seed)
                append_feedback(self.run.folder, events)
                write_json(folder / "events.json", [event.to_json() for event in events])

            inputs = {"annotator": annotator.model_dump(), "labels": [label.to_json() for label in labels]}
            self.run.stage("annotate", inputs, work)
        return list(labels) if session.line.gold else without_chance(self._feedback.correct(labels))

    @property
    def _feedback(self) -> Feedback:
        return read_feedback(self.run.folder)

    def vetoes(self, line: Line) -> Vetoes:
        """Return what people do not want the agents of a line to learn: they speak of the society's debates."""
        return self._feedback.vetoes if line.name == "society" else frozenset()

    def report_labels(self, session: Session, labels: Sequence[PseudoLabel]) -> None:
        """Keep how often the votes were right by margin, in `labels.json`."""
        where = {"line": session.line.name, "iteration": session.iteration}
        report = label_report(right_answers(self.task, "train"), labels)
        path = self.run.folder / LABELS
        known: list[dict[str, Any]] = read_json(path) if path.exists() else []
        others = [row for row in known if {key: row[key] for key in where} != where]
        write_json(path, [*others, *({**where, **row} for row in report)])

    # Finetuning

    def preferences(self, session: Session, agent: str) -> list[PreferenceRow]:
        """Return what people want an agent of the society to say rather than what it said."""
        if session.line.name != "society":
            return []
        return self._feedback.preferences(agent, session.debates, self.settings.debate.update)

    def finetune(
        self,
        session: Session,
        labels: Sequence[PseudoLabel],
        rows: Mapping[str, Sequence[TrainingRow]],
        before: Agents,
    ) -> Agents:
        """Finetune every agent on its own rows, then on what people prefer, and return their new weights.

        Too few rows are left out; an agent that has no preferences either keeps its weights.
        """
        tunings = {
            agent: tuning
            for agent, weights in before.items()
            if (tuning := self._planned(session, agent, labels, rows[agent], weights))
        }
        learned = dict(zip(tunings, self.tune(list(tunings.values())), strict=True))
        return {agent: learned.get(agent, weights) for agent, weights in before.items()}

    def _planned(
        self,
        session: Session,
        agent: str,
        labels: Sequence[PseudoLabel],
        rows: Sequence[TrainingRow],
        before: Path | None,
    ) -> Tuning | None:
        line, iteration, settings = session.line, session.iteration, self.settings
        preferences, few = self.preferences(session, agent), len(rows) < settings.min_rows
        if few:
            empty = " and ".join(empty_pools(line, agent, session.debates, labels, settings.w, self.vetoes(line)))
            does = "learns only what people prefer" if preferences else "keeps its weights"
            self.run.log(
                "society/kept",
                sentence=f"{line.name}: {agent} {does} in iteration {iteration}: it has {len(rows)} rows, "
                f"min_rows is {settings.min_rows}" + (f"; empty: {empty}." if empty else "."),
            )
            if not preferences:
                return None
        return Tuning(
            f"finetune-{line.name}-{iteration}-{agent}",
            [] if few else [row.to_json() for row in rows],
            before if few or settings.start == "previous" else None,
            seed_from(self.run.recipe.seed, line.name, iteration, agent) % 2**32,
            preferences,
            {"debates": session.stage},
        )

    def tune(self, tunings: Sequence[Tuning]) -> list[Path]:
        """Finetune, each in a stage of its own, and return the folders of the weights.

        On a CPU, tiny models are trained side by side; where `RAY_ADDRESS` is set, all are, on that cluster.
        """
        source, training = trainable_source(self.run.recipe.models["agent"]), self.settings.training
        inputs = {tuning.stage: self._decides(tuning, training) for tuning in tunings}
        jobs = {
            tuning.stage: TuningJob(tuning, source, training, self.run.stage_folder(tuning.stage, inputs[tuning.stage]))
            for tuning in tunings
        }
        todo = [job for job in jobs.values() if not (job.folder / WEIGHTS).exists()]

        def work(job: TuningJob) -> None:
            if len(todo) > 1:  # all of them at once, in the first one's stage, whose seconds so are theirs
                work_ahead(train, todo, parameters_of(source), self.run.hear_step)
                todo.clear()
            write_lines(job.folder / ROWS, job.tuning.rows)
            train(job, self.run.hear_step)  # what was done side by side is only looked up

        return [
            self.run.stage(stage, inputs[stage], lambda _, job=job: work(job)) / WEIGHTS for stage, job in jobs.items()
        ]

    def _decides(self, tuning: Tuning, training: TrainingSettings) -> dict[str, Any]:
        """Return everything that the outcome of a finetuning depends on."""
        return {
            "rows": content_hash(list(tuning.rows)),
            "preferences": [row.to_json() for row in tuning.preferences],
            "start": tuning.start and self._below(tuning.start),
            "training": training.model_copy(update={"seed": tuning.seed}).model_dump(mode="json"),
            "model": self._host.identity(Request(())),
            **tuning.origin,
        }

    # Measuring

    def measure(
        self, line: Line | None, iteration: int, agents: Agents | None, split: Split = "dev", limit: int | None = None
    ) -> list[Point]:
        """Measure every arm of a line after an iteration; without a line, what needs no training.

        Returns:
            A point for each arm; none if the split is empty or `measure` is 0.
        """
        limit = limit or self.settings.measure
        if not limit or not self.task.splits.get(split):
            return []
        arms = [arm for name, arm in ARMS.items() if name in self.settings.arms and arm.line == (line and line.name)]
        solvers: list[Solver] = [self.solver(arm, agents) for arm in arms]
        if not line:
            solvers = [self.direct, *solvers]
        with self._learning(line):
            return [self._point(solver, iteration, agents, split, limit) for solver in solvers]

    def _point(self, solver: Solver, iteration: int, agents: Agents | None, split: Split, limit: int) -> Point:
        def work(folder: Path) -> None:
            result = roll_out(
                solver,
                self.task,
                split,
                role="control",
                ledger=self.run.ledger,
                budget=self.run.budget,
                seed=self.run.recipe.seed,
                limit=limit,
            )
            debates = transcripts_of(result, self.task)
            found = diversity(debates, right_answers(self.task, split), self.run.recipe.seed) if debates else {}
            if solver.name == "society" and (rated := debates[: self.settings.likelihood]):
                found |= likelihoods(self._voices, ARMS["society"].cast(agents, self.settings.debate), rated)
            write_json(folder / "point.json", point_of(iteration, result, found).to_json())

        inputs = {
            "split": split,
            "limit": limit,
            "debate": self.settings.debate.model_dump(mode="json"),
            "likelihood": self.settings.likelihood,
            "seed": self.run.recipe.seed,
            **self._who(agents),
        }
        folder = self.run.stage(f"measure-{split}-{solver.name}-{iteration}", inputs, work)
        return Point.from_json(read_json(folder / "point.json"))


def read_debates(stage: Path) -> list[Transcript]:
    """Return the debates that a stage holds."""
    return [Transcript.from_json(data) for data in read_lines(stage / DEBATES)]
