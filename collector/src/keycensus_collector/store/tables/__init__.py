"""Tables by subject, beside `store.schema`: they share its conventions and its metadata."""
