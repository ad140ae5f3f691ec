"""Builds the agent's Debian package with nothing but Python, pip and dpkg-deb (../README.md says why)."""
