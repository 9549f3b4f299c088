"""Edits on the photo itself, measured: on real photos, and on invented faces whose true edit is known."""
