"""Runs the encoder service: `python -m encoder`."""

from encoder.app import build
from encoder.settings import Settings
from servicekit.serve import serve

if __name__ == "__main__":
    serve("encoder", Settings, build)
