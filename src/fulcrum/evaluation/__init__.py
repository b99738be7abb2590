"""Solvers over a split, paired statistics, comparison, diagnosis.

::

    solver.py       Turn -> Answer: the shape of every method, control and baseline
    baselines.py    direct, few-shot, self-consistency@n, best-of-n
    rollouts.py     solvers over a split, scored
    statistics.py   intervals and tests
    pairing.py      attempts -> outcomes by example -> harm, rescue, pass@k
    table.py        evaluation.json
    diagnosis.py    what the figures mean, in sentences
    render.py       the table on a terminal
    compare.py      several runs on the same task
"""
