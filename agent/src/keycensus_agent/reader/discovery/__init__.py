"""Walk the file system and say what is there, without opening a file that need not be opened."""
