"""The status of certificates by revocation lists that hosts have, or that operators bring."""
