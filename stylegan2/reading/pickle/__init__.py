"""Pickles as inert data: their instructions are followed, and nothing they name is ever called."""
