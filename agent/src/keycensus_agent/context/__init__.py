"""What surrounds a file: the package that brought it. Read from the host's own files, no program run."""
