"""What runs before the app does, and must be light: nothing here imports what takes long."""
