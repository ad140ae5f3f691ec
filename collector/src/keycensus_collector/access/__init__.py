"""People and their programs: users, passwords, API tokens, and the audit log of what was done."""
