"""The push-jobs server: HTTP API, job engine, node sessions and store."""
