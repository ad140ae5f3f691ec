"""Sign-in at a company's own provider by OpenID Connect: authorization code flow with PKCE."""
