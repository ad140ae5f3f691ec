"""Pages for people: HTML from the same query functions that REST and the command ask."""
