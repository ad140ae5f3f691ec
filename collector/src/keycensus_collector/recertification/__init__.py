"""Recertification: by a date, owners say of each thing that they hold that it is theirs, or not."""
