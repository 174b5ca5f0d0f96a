"""The runner: executes the jobs of this node and talks to nobody but the session beside it.

It lives in a process of its own, started with the standard library alone, and is meant to stay
small. Nothing in it may import anything else of this project but the version, or ``typing`` at run
time.
"""
