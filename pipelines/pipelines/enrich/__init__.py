"""Adds what an LLM says of each item to the catalogue, as fields of their own. Knows the expander and the gateway by their HTTP APIs."""
