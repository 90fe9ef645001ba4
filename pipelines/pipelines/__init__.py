"""Offline jobs: import, train, evaluate, demo. Talks to the services over HTTP and to artefacts on disk."""
