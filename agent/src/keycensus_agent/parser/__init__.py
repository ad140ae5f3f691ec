"""The parser: bytes in, manifest out. Opens no file and no socket. Importing it imports nothing."""
