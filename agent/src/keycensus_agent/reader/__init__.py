"""The reader: the one process that reads files. It has no network and parses nothing hostile."""
