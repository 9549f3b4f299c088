"""Command `evaluate`: what the product's pictures and edits are worth, in numbers."""
