"""Show findings: table, JSON, NDJSON, CSV. Everything from files is escaped here."""
