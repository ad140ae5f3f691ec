"""What people set at a collector, as YAML files for git: written by `export`, put back by `apply`."""
