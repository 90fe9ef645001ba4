"""Measures OpenAI-compatible endpoints over tensor-parallel size, concurrency, prompt length and model."""
