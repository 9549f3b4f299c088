"""Edits on the photo itself: what the model changes is painted onto the photo's own pixels."""
