"""Archives: files that hold files. Members go through the same triage and formats as files do.

Parser side, pure, on hostile bytes: a source of bytes is passed in, nothing is written anywhere, and
every count and size that an archive claims is held to a limit (`effort`).
"""
