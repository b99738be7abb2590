"""Supplement Generation Training (SGT, arXiv 2604.20727): a small trained model writes help for a large frozen one.

::

    settings.py    what a recipe may choose
    forms.py       the forms of a supplement, and its machine-readable first line
    wording.py     how supplements are asked for, and how they stand in the actor's prompt
    writer.py      a request -> the same request with its supplement: for evaluation, serving and training alike
    trials.py      one supplement tried in front of the actor; the rollout store
    bench.py       tries supplements on training questions
    schedule.py    what a pool asks for, of which questions, and what the actor may be asked for it
    promise.py     which drafts are worth a call, told from what like ones were worth
    collector.py   fills a pool: the generator writes, the actor tries
    labels.py      uplift, winners and losers, preference pairs, training rows, rates
    learn.py       the algorithm
    trainers.py    SFT, DPO and GRPO over one rollout store
    reasons.py     why there is nothing to learn from, in sentences
    controls.py    the solvers that could explain a gain away
    audit.py       leak, use and dose
    transfer.py    another actor, another task
    method.py      the method as `fulcrum train` knows it
"""
