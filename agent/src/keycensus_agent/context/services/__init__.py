"""Services whose configuration names certificates and keys: one file per kind, all listed in table.py."""
