"""Solvers over a split, paired statistics, comparison, diagnosis."""
