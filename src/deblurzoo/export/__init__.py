"""A trained network as files for others."""
