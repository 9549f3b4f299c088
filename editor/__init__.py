"""The editor: photos in, edited faces out. Numerics here, the app in `ui`."""
