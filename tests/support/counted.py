"""The name under which a test records what it counts and does not judge; shown at the end."""

COUNTED = "counted"
