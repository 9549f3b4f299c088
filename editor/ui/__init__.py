"""The Gradio app. Importing this package first keeps Gradio from reporting its use to anyone."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Gradio asks Matplotlib around every event how it draws: half a second, the first time, where nobody says.
os.environ.setdefault("MPLBACKEND", "agg")
