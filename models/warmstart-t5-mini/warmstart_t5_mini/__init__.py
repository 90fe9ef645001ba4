"""The weights of Warmstart's small T5, in the folder `warmstart-t5-mini` beside this file. Holds no code."""
