"""The app's own kinds of Gradio's page and upload button."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from editor.ui.serving.uploads import real_path


class Page(gr.Blocks):
    """The page; what is sent to its events is repeated neither to the caller nor in the server's log."""

    is_template = True

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:  # noqa: ANN401  (Gradio's own types)
        """Refuse a call with too few values; Gradio's own refusal lists all that came, photos too.

        Uploads get their paths back here, the first thing that is done to values.
        """
        _find_uploads(inputs, Path(get_upload_folder()))
        missing = len(block_fn.inputs) - len(inputs)
        if missing <= 0:
            return
        if block_fn.api_visibility == "public":
            inputs.extend([None] * missing)  # what programs call has defaults, and tells of what it misses
            return
        raise gr.Error(f"got {len(inputs)} values, expected {len(block_fn.inputs)}", print_exception=False)


def _find_uploads(values: Any, home: Path) -> None:  # noqa: ANN401
    """Put the paths of uploads in the places of their names, wherever files are told."""
    if isinstance(values, list):
        for value in values:
            _find_uploads(value, home)
    elif isinstance(values, dict) and "path" in values:
        if isinstance(values["path"], str):
            values["path"] = real_path(values["path"], home)
    elif isinstance(values, dict):
        for value in values.values():
            _find_uploads(value, home)


class PhotoButton(gr.UploadButton):
    """An upload button that hands over the file as it came.

    Gradio's own leaves an empty file behind for each.
    """

    is_template = True

    def preprocess(self, payload: Any) -> Any:  # noqa: ANN401
        """The uploaded file's path, or None."""
        return payload.path if payload else None


class PhotosButton(gr.UploadButton):
    """As `PhotoButton`, for several files."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:  # noqa: ANN401
        """Paths of the uploaded files."""
        return [file.path for file in payload.root] if payload else []
