"""Who owns what: teams and people, what they were given, what rules say, and what follows from both."""
