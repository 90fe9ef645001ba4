"""What keeps events, behind the protocol of `profiles.py`; each store is a file named like the database. Knows nothing of requests."""
