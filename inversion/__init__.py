"""Inversion: cropped images to latents."""
