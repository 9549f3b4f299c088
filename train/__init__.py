"""Training of the networks that the product runs; nothing of the product imports this package."""
