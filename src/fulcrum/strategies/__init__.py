"""Strategies: interpretable knowledge distillation by a library that people can read (arXiv 2408.07238)."""
