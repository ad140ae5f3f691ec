"""What the reader has to say to the collector, and how it says it. Speaks to the link only."""
