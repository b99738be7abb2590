"""A small shop and tiny real language models, so that everything runs with no key, GPU or download."""
