"""Many photos at once: what goes in, what is kept of it, and how a run goes on after it was broken off."""
