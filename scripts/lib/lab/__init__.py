"""Throw-away Debian nodes that boot a real systemd, in a network of their own, on this machine.

``image`` makes what they are cloned from, ``network`` the switch between them, ``node`` one of
them. Needs root, systemd-nspawn and overlayfs. Processes and namespaces are removed by id or name.
"""
