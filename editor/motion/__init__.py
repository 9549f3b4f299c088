"""Faces in moving pictures: found again from frame to frame, steadied, and edited."""
