"""The app's own kinds of Gradio's page and upload button."""

from typing import Any

import gradio as gr


class Page(gr.Blocks):
    """The page; what is sent to its events is repeated neither to the caller nor in the server's log."""

    is_template = True

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:  # noqa: ANN401  (Gradio's own types)
        """Refuse a call with too few values; Gradio's own refusal lists all that came, photos too."""
        missing = len(block_fn.inputs) - len(inputs)
        if missing <= 0:
            return
        if block_fn.api_visibility == "public":
            inputs.extend([None] * missing)  # what programs call has defaults, and tells of what it misses
            return
        raise gr.Error(f"got {len(inputs)} values, expected {len(block_fn.inputs)}", print_exception=False)


class PhotoButton(gr.UploadButton):
    """An upload button that hands over the file as it came.

    Gradio's own leaves an empty file behind for each.
    """

    is_template = True

    def preprocess(self, payload: Any) -> Any:  # noqa: ANN401
        """The uploaded file's path, or None."""
        return payload.path if payload else None
