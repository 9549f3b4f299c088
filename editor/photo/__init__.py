"""Photos in and out: every format read with its colours right, and pictures written and pasted back."""
