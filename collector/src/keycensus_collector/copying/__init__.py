"""The whole database from one product to another, into a backup and back; nothing of the network."""
