"""Where to look again: the kernel's word on changed directories, and when to act on it."""
