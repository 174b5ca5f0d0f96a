"""The push-jobs command line and a small Python client library."""
