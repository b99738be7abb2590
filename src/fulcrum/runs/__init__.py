"""Run folders: what a recipe writes, and how a killed run continues."""
