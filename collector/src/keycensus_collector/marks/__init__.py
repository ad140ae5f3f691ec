"""Marks: what people know to be compromised or distrusted, what that reaches, where it comes back."""
