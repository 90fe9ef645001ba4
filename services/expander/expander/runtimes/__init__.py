"""How vLLM is run on each kind of hardware. Standard library only: this folder is also copied, alone, into the images that run vLLM."""
