"""The agent's version, kept here because asking the installed package costs 3 MiB of memory."""

VERSION = "0.1.0"
