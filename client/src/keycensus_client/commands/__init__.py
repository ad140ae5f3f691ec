"""The commands of `keycensus`, one file each; `cli.COMMANDS` lists them."""
