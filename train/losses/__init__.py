"""Terms of losses as pure functions, and the frozen networks that some of them ask."""
