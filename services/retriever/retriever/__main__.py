"""Runs the retriever service: `python -m retriever`."""

from retriever.app import build
from retriever.settings import Settings
from servicekit.serve import serve

if __name__ == "__main__":
    serve("retriever", Settings, build)
