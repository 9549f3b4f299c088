"""Faces: found in a photo, measured, cropped as a model wants them, and judged."""
