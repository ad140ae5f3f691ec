"""Questions about the inventory, as SQL: one definition for REST, web and commands alike."""
