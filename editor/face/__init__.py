"""Faces: found in a photo, and cropped as a model wants them."""
