"""Intake: what agents report, from the stream to the rows, one transaction a batch."""
