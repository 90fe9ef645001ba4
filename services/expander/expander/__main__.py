"""Runs the expander service: `python -m expander`."""

from expander.app import build
from expander.settings import Settings
from servicekit.serve import serve

if __name__ == "__main__":
    serve("expander", Settings, build)
