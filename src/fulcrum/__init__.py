"""Fulcrum lifts a language model on your own task by four published methods, and measures each honestly."""

__version__ = "0.1.0"
