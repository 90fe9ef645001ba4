"""The weights of Warmstart's small T5, in the folder `model` beside this file. Holds no code."""
