"""Trains the small T5 of the encoder from the texts of a larger model: `python -m pipelines distil`. Offline; needs the torch extra."""
