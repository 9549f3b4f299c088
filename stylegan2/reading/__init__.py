"""Weights files of any origin as inert data: nothing that a file holds is ever run."""
