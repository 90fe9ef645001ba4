"""The wire types of every service, one module per service. Knows nothing of HTTP, storage or models."""
