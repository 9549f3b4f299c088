"""Edits: directions of W and W+, where they come from, and how styles move along them."""
