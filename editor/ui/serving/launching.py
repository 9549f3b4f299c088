"""launch: the built app as a server, and its end."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from editor.ui.blocks import Built
from editor.ui.handlers import Handlers
from editor.ui.serving.doors import middleware
from editor.ui.serving.front import ICON, FrontPage, front_routes
from editor.ui.serving.live import live_route
from editor.ui.serving.program_doors import routes
from editor.ui.serving.uploads import MAX_BYTES, upload_route
from editor.ui.serving.workplace import give_memory_back
from editor.ui.stage import ASSETS
from editor.ui.store import MAX_VISITS

# Gradio's own subdued text and accent are too pale to be read by everyone (WCAG AA).
THEME = gr.themes.Soft(primary_hue="indigo", neutral_hue="slate", font=["system-ui", "sans-serif"]).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_title_text_color="*primary_700",
    block_label_text_color="*primary_700",
    input_placeholder_color="*neutral_500",
    color_accent="*primary_600",
    slider_color="*primary_600",
    slider_color_dark="*primary_500",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_dark="*primary_600",
)
LAUNCH_OPTIONS: dict[str, Any] = {
    "theme": THEME,
    "favicon_path": ICON,
    "css": Path(ASSETS / "app.css").read_text(encoding="utf-8"),
    "max_file_size": MAX_BYTES,
    "share": False,
    "quiet": True,  # Gradio would advertise a public link
    "footer_links": [],
    "ssr_mode": False,  # a Space would turn it on, and put a second server between the page and this one
}


@dataclass(frozen=True)
class Served:
    """A running server."""

    demo: gr.Blocks
    handlers: Handlers

    def tidy(self) -> None:
        """End visits that grew old and cameras that fell silent, and let go of closed pages.

        Gradio keeps their functions and components for good. What is of a visit, `Handlers.leave` has
        forgotten already.
        """
        self.handlers.store.sweep()
        self.handlers.live.sweep()
        known = self.demo.app.state_holder.session_data
        closed = [page for page, state in list(known.items()) if state.is_closed]
        for page in closed:
            known.pop(page, None)
        if closed:
            give_memory_back()

    def close(self) -> None:
        """Take no more requests, cancel what is being optimised, and delete what visitors uploaded."""
        self.handlers.store.close()
        self.handlers.live.close()
        self.demo.close(verbose=False)
        # Once more: a visit may have opened while the server ended.
        self.handlers.store.close()


def launch(
    built: Built,
    *,
    host: str,
    port: int,
    root_path: str | None = None,
    allowed_hosts: Collection[str] | None = None,
) -> Served:
    """Serve the app from a thread.

    Args:
        built: By `build_demo`.
        host: Address to listen on.
        port: Port to listen on.
        root_path: What a reverse proxy takes off before it passes a request on.
        allowed_hosts: See `middleware`.

    Raises:
        OSError: It cannot listen there.
    """
    doors = {
        "middleware": [*middleware(allowed_hosts), Middleware(FrontPage)],
        "routes": [*routes(built.api), upload_route(), live_route(built.handlers.live), *front_routes()],
    }
    built.demo.launch(
        server_name=host,
        server_port=port,
        root_path=root_path,
        prevent_thread_lock=True,
        app_kwargs=doors,
        state_session_capacity=2 * MAX_VISITS,
        **LAUNCH_OPTIONS,
    )
    return Served(built.demo, built.handlers)
