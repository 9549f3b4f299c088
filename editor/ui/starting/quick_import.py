"""Import Gradio in half the time: without the type stubs that it writes for its components each time."""

import gc
import inspect
import sys


def import_gradio() -> None:
    """Import Gradio before anything else does.

    For every component Gradio parses its own source and writes what editors show of it into its folder, again
    at every import, which takes half of the time. It leaves that where a class has no source file.
    """
    if "gradio" in sys.modules:
        return
    find_source, collects = inspect.getfile, gc.isenabled()

    def no_file(kind: object) -> str:
        raise OSError(f"{kind} is not looked at")

    inspect.getfile = no_file  # type: ignore[assignment]
    gc.disable()  # nothing that modules make is thrown away
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = find_source
        if collects:
            gc.enable()
