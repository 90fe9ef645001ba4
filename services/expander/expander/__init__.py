"""The expander service."""
