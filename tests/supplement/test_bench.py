from fulcrum.calls import Budget
from fulcrum.chat import Completion, Sampling
from fulcrum.supplement.bench import Bench
from fulcrum.supplement.wording import WORDINGS
from fulcrum.task.scorers import JudgeScorer
from support.evaluation import shouting_task
from support.scripted import ScriptedModel, together


def test_a_judge_is_asked_about_all_trials_at_once():
    def verdict(request):
        worth = "partly" if "<answer>\nB" in request.messages[-1].content else "yes"
        return Completion(f"Verdict: {worth}")

    judge = ScriptedModel(together(4, verdict), batch=8)
    scorer = JudgeScorer(model="python:nowhere:none", rubric="loud", reference=False).with_model(judge)
    task = shouting_task(train=["a", "b"], test=["c"], scorer=scorer)
    bench = Bench(task, ScriptedModel(), Sampling(), 2, next(iter(WORDINGS.values())), "start", Budget())
    trials = bench.alone([example.id for example in task.examples("train")])
    assert [(trial.values, trial.answers) for trial in trials] == [((1.0, 1.0), ("A", "A")), ((0.5, 0.5), ("B", "B"))]
