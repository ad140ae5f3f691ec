"""The query language: text to a checked tree, and the tree to SQL. The same for every face."""
