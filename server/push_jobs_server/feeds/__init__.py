"""Event feeds: what the engine tells is kept for a while, for whoever reads (architecture 3).

Nothing here decides what happens; nothing here can hold the engine up.
"""
