"""Edits that people make themselves: from ratings, from examples, and from the model's own weights."""
