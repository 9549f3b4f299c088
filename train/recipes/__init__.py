"""Shell scripts that run several stages of training in a row, and what they ask before they start."""
