"""Answers as tables, CSV and JSON. Everything that comes here is escaped already (`model.decode`)."""
