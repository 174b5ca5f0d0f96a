"""What travels between push-jobs servers, agents and command lines, and the forms they share.

Pure: no socket, clock, thread or file is touched here. Import the modules by name; nothing is
imported for you, so that a quiet agent does not pay for what it does not use.
"""
