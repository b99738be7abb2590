"""Scorers: how an answer is compared with a target."""
