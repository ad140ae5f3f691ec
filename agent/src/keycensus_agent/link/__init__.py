"""The link: the one process with network. It reads no keys and none of the state."""
