"""What happened to a certificate, key or host, in the order of time; and what differs between two dates."""
