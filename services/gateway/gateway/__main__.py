"""Runs the gateway service: `python -m gateway`."""

from gateway.app import build
from gateway.settings import Settings
from servicekit.serve import serve

if __name__ == "__main__":
    serve("gateway", Settings, build)
