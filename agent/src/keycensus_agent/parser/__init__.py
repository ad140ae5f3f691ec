"""The parser: bytes in, manifest out. Opens no file and no socket. Importing it imports nothing."""

# Grows when formats learn to see more: everything is then read once more, as cause "parser".
PARSER_EPOCH = 7
