"""Has the expander's LLM expand, ahead of traffic, what most people will ask for. Knows gateway and expander by their HTTP APIs."""
