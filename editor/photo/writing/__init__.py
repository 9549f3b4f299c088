"""Edited photos back into files: every value that was not edited, and what the file said, as they were."""
