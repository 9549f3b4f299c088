"""The networks of inversion, their settings, and their files."""
