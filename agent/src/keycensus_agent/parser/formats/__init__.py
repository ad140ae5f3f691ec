"""The formats, one file each; `table` lists them. Nothing here does input or output."""
