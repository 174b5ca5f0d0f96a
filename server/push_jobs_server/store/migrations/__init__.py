"""Alembic's scripts. ``Store.migrate`` runs them; nothing else imports them."""
