"""The app as people meet it in a browser: sliders, the camera, many at once."""
