"""Scripts that print the speeds that the README states."""
