"""What the blobs say, read again by the collector itself: parse, resolve issuers, keep the reason."""
