"""Inversion: aligned images to latents."""
