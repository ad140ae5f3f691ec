"""What people bring in files: bundles of hosts that can't enrol."""
