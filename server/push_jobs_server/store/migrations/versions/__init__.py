"""One file per revision, numbered. A revision that was released is never changed."""
