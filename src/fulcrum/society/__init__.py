"""Multiagent finetuning: agents that debate, vote, and learn from what they agree on, without labels."""
