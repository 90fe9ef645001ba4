"""What runs a model, behind one protocol; each backend is a file named like the setting that picks it. Knows nothing of requests."""
