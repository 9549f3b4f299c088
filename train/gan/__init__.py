"""Stage `generator`: StyleGAN2 against its discriminator."""
