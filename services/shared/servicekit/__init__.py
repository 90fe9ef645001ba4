"""What every service needs to run: app, serve, settings, deadline, client, problems, logs, metrics. Knows no service."""
