"""The operations that StyleGAN2 adds to torch, each with a slow reference twin."""
