"""What people set at the collector, whole: read for files in git, and made to be what files say."""
