"""Run folders: what a recipe writes, and how a killed run continues."""

from fulcrum.runs.run import Run, default_folder, open_run

__all__ = ["Run", "default_folder", "open_run"]
