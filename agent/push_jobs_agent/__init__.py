"""The node agent: a session that talks to the server, a runner that executes.

Deliberately empty: the runner is started with the standard library alone.
"""
