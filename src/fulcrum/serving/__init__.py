"""One OpenAI-compatible endpoint in front of any upstream, that deploys what a method learned."""
