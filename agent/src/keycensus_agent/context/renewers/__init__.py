"""Tools that renew certificates, by their own records: one file per tool, all listed in table.py."""
