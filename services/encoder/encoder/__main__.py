"""Runs the encoder service: `python -m encoder`; `prepare ...` makes an artefact of a model, `compile ...` compiles it for Neuron."""

import sys

from encoder import compiling, prepare
from encoder.app import build
from encoder.settings import Settings
from servicekit.serve import serve

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["compile", *arguments]:
            compiling.main(arguments)
        case ["prepare", *arguments]:
            prepare.main(arguments)
        case _:
            serve("encoder", Settings, build)
