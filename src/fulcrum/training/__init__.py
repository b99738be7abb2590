"""Supervised, preference and policy training, thin over TRL and PEFT."""
