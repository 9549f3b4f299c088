"""Stage `contrastive`: the two encoders that tell which latent belongs to which picture."""
