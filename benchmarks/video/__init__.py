"""Clips from file to file."""
