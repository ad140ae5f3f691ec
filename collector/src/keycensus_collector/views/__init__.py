"""Views: queries with a name, those that come with the program and those that people save."""
