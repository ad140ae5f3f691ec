"""Who may join and who is who: the certificate authority, enrolment tokens, agents' identities."""
