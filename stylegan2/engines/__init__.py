"""Engines: what runs a module with fixed weights fast."""
