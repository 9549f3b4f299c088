"""Generators in the layouts of other projects: recognised, translated to ours, and written back."""
