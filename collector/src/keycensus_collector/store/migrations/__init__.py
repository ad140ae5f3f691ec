"""Migrations of the database, newest last; run by `store.revisions`."""
