"""Optimisation: what an encoder found of one picture, improved by gradient descent."""
