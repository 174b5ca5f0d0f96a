"""New keys for a server that has some: what nodes check its words with, and what they sign with.

Certificates are not touched, nor are keys of users and clients. A running server goes on with the
old keys until it is started again.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import delete

from push_jobs_server.data import curve_keys, new_curve_keys, signing_key
from push_jobs_server.keys import new_key_pair
from push_jobs_server.layout import CURVE_KEYS, SIGNING_KEY
from push_jobs_server.private_files import write_over
from push_jobs_server.store import Store
from push_jobs_server.store.tables import grants, session_keys


def rotate(data_dir: Path, store: Store) -> None:
    """Replace the signing key and the CURVE pair, and forget the session keys of all nodes.

    Raises a PushJobsError that names what could not be replaced. Nodes get the new keys with their
    settings, which they fetch again when the old ones do not fit any more.
    """
    curve_keys(data_dir)  # both have to be there: a wrong directory gets no keys of ours
    signing_key(data_dir)
    write_over(data_dir / CURVE_KEYS, new_curve_keys())
    write_over(data_dir / SIGNING_KEY, new_key_pair().private)
    with store.writing() as connection:
        for table in (grants, session_keys):
            connection.execute(delete(table))
