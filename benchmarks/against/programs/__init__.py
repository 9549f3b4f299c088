"""Programs that a checkout runs in its own folder; they use nothing that the older one lacks."""
