"""Runs the encoder service: `python -m encoder`; `python -m encoder compile ...` compiles a model for AWS Neuron instead."""

import sys

from encoder import compiling
from encoder.app import build
from encoder.settings import Settings
from servicekit.serve import serve

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["compile", *arguments]:
            compiling.main(arguments)
        case _:
            serve("encoder", Settings, build)
