"""Measures the running pipeline on held-out positives: datasets, baselines, served, tuning, metrics, report, run."""
