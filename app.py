"""Start the app: flags, editor, demo, launch."""

import argparse
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from editor.ui.starting.addresses import is_local
from editor.ui.starting.arenas import keep_heaps_few
from editor.ui.starting.doorstep import Doorstep

if TYPE_CHECKING:
    from editor.face.landmarks import FaceDetector
    from editor.model.shelf import ModelShelf
    from editor.own.sentence import SentenceJudge
    from editor.pipeline import Editor
    from editor.ui.blocks import Built
    from editor.ui.serving.workplace import Workplace

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = "7860"
_ENDED = threading.Event()  # the program was told to end
FIRST_COME, FIRST_EDIT = 3.0, 1.5  # seconds until somebody comes who has waited, and until the first edit
PATIENCE = 5.0  # seconds that threads of ours get to end by themselves


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser("python app.py", description="Edit faces live in the browser.")
    parser.add_argument(
        "--host", help=f"address to listen on (default {DEFAULT_HOST}, or GRADIO_SERVER_NAME)"
    )
    parser.add_argument("--port", help=f"port to listen on (default {DEFAULT_PORT}, or GRADIO_SERVER_PORT)")
    parser.add_argument(
        "--model",
        help="a bundle's folder, a weights file, or owner/name of Hugging Face (default: the bundled model)",
    )
    parser.add_argument(
        "--face-model", help="a MediaPipe FaceLandmarker .task file instead of the bundled one"
    )
    parser.add_argument(
        "--identity", help="an ONNX face network (ArcFace family): shows the identity of each reconstruction"
    )
    parser.add_argument(
        "--clip", metavar="FOLDER", help="CLIP's encoders as ONNX files: a sentence then becomes an edit"
    )
    parser.add_argument(
        "--root-path", help="path that a reverse proxy puts before the app's own, such as /faces"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="on loopback: answer calls by this name too, as a reverse proxy may pass them on; repeatable",
    )
    parser.add_argument(
        "--model-picker",
        choices=["auto", "on", "off"],
        default="auto",
        help="whether visitors may open other models, which can be any file of this computer "
        "(auto: only where nobody but this computer can reach the app)",
    )
    parser.add_argument("--device", default="auto", help="where to compute: auto, cpu, cuda or mps")
    parser.add_argument("--engine", default="auto", help="how to render: auto, torch or openvino")
    return parser


def check_address(host: str, port: str) -> int:
    """The port as a number, once it is known that the app can listen there.

    Raises:
        OSError: It cannot; the message says why and what to do.
    """
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise OSError(f"port {port!r}: not a port; choose a number from 1 to 65535 with --port")
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise OSError(f"host {host!r}: no such address; leave --host out, or use 0.0.0.0") from None
    with socket.socket(family) as probe:
        if os.name == "posix":  # a port that was only just left is free; on Windows this would hide users
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise OSError(
                f"port {port} on {host}: {error.strerror}; end the program that uses it, "
                "or choose another port with --port"
            ) from error
    return int(port)


def offers_picker(args: argparse.Namespace, host: str) -> bool:
    """Whether visitors may choose a model: behind a reverse proxy they need not be on this machine."""
    if args.model_picker != "auto":
        return bool(args.model_picker == "on")
    return is_local(host) and not args.allow_host and not args.root_path


def _end(number: int, frame: FrameType | None) -> None:
    """End the program, also where a library swallows the exception in one of its callbacks."""
    _ENDED.set()
    signal.default_int_handler(number, frame)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 2 where a flag, the weights or the port is at fault, 0 however it is ended."""
    args = build_parser().parse_args(argv)
    keep_heaps_few()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
    workplace: list[Workplace] = []
    try:
        return _serve(args, workplace)
    except KeyboardInterrupt:
        return 0
    finally:
        gc.enable()  # where the start has failed
        # Nothing may come between the visitors' files and their end.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        for place in workplace:
            place.close()


def _judge(folder: str | None) -> "SentenceJudge | None":
    """What reads sentences, where the user named CLIP's encoders."""
    if folder is None:
        return None
    from editor.own.sentence import SentenceJudge

    return SentenceJudge(folder)


def _shelf(name: str, source: str) -> "ModelShelf":
    """Models that are known by name, the one in use among them."""
    from editor.model.shelf import ModelShelf

    shelf = ModelShelf()
    shelf.note(name, source)
    return shelf


def _opener(args: argparse.Namespace) -> "Callable[..., Editor]":
    """What opens the model at a path as the flags say; with a face detector, where there is one already."""
    from editor.pipeline import open_editor
    from editor.ui.starting.spaces import is_zerogpu

    lent = None
    if is_zerogpu():
        from editor.ui.serving.zerogpu import LentGPU

        lent = LentGPU()
    # There torch says that it has CUDA, which is true only while a GPU is lent.
    device = "cpu" if lent and args.device == "auto" else args.device

    def open_path(path: Path, detector: "FaceDetector | None" = None, *, at_once: bool = False) -> "Editor":
        return open_editor(
            path,
            at_once=at_once,
            device=device,
            engine=args.engine,
            face_model=args.face_model,
            identity=args.identity,
            detector=detector,
            optimiser=None if lent is None else partial(lent.optimise, path),
        )

    return open_path


def _serve(args: argparse.Namespace, workplaces: "list[Workplace]") -> int:
    host = args.host or os.environ.get("GRADIO_SERVER_NAME") or DEFAULT_HOST
    try:
        port = check_address(host, args.port or os.environ.get("GRADIO_SERVER_PORT") or DEFAULT_PORT)
        doorstep = Doorstep(host, port)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    with doorstep:
        return _open_and_serve(args, host, port, doorstep, workplaces)


def _open_and_serve(
    args: argparse.Namespace, host: str, port: int, doorstep: Doorstep, workplaces: "list[Workplace]"
) -> int:
    # Imported late, as they take seconds that neither --help nor a taken port nor the first page should cost.
    from editor.ui.starting.quick_import import import_gradio
    from stylegan2.errors import StyleGANError

    gc.disable()  # nothing that a start makes is thrown away, and looking for it takes a tenth of the time
    doorstep.words = "Opening the model."
    opening = _Opening(args, doorstep)
    import_gradio()
    from editor.ui.aside import start_aside
    from editor.ui.serving.launching import launch
    from editor.ui.serving.workplace import Workplace, give_memory_back

    try:
        workplaces.append(Workplace())
    except OSError as error:
        print(f"error: no folder for uploads ({error}); GRADIO_TEMP_DIR names another place", file=sys.stderr)
        return 2
    try:
        editor = opening.editor()
        doorstep.words = "Building the page."
        built = _build(args, host, editor, opening.open_path)
        doorstep.close()
        served = launch(
            built,
            host=host,
            port=port,
            root_path=args.root_path,
            allowed_hosts=args.allow_host if is_local(host) else None,
        )
    except (StyleGANError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        workplaces[-1].keep_tidy(built.handlers.store.files, served.tidy)
        print(f"Running on http://{host}:{port} (Ctrl-C ends it)", flush=True)
        gc.enable()
        editor.settle()
        # Whoever waited for the start is let in before the face model is loaded, which photos alone need.
        if built.handlers.store.visited.wait(FIRST_COME):
            time.sleep(FIRST_EDIT)
        # In a thread: a signal to this one would leave the library half imported for whoever needs it next.
        load = partial(_load_faces, editor.detector)
        start_aside("loading of the face model", load, lambda _: give_memory_back())
        # The handlers have it, and give it up where another model is chosen.
        del editor, built, opening, load
        give_memory_back()
        while not _ENDED.is_set():
            time.sleep(1)
    finally:
        served.close()
    return 0


def _load_faces(detector: "FaceDetector", _: object) -> None:
    detector.load()


class _Opening:
    """The model, opened in a thread of its own while the page is built; its graphs are loaded there too.

    Args:
        args: Flags.
        doorstep: Told what is downloaded.
    """

    def __init__(self, args: argparse.Namespace, doorstep: Doorstep) -> None:
        # Imported before the thread begins: two threads that import at once wait for each other.
        import editor.pipeline  # noqa: F401
        from editor.model.source import BUNDLED, resolve_model

        self.open_path = _opener(args)

        def work() -> None:
            def report(text: str) -> None:
                doorstep.words = f"{text} ..."
                print(text, file=sys.stderr)

            try:
                model = resolve_model(args.model or BUNDLED, report)
                self._editor = self.open_path(model, at_once=True)
            except BaseException as error:  # noqa: BLE001 (raised again by `editor`)
                self._error = error

        self._editor: Editor | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=work, name="opening", daemon=True)
        self._thread.start()

    def editor(self) -> "Editor":
        """The opened editor.

        Raises:
            StyleGANError: It cannot be opened; and whatever else went wrong.
        """
        self._thread.join()
        editor, self._editor = self._editor, None
        if editor is None:
            raise self._error or RuntimeError("the model was asked for twice")
        return editor


def _build(
    args: argparse.Namespace, host: str, editor: "Editor", open_path: "Callable[..., Editor]"
) -> "Built":
    from editor.model.hub import Report
    from editor.model.source import BUNDLED, resolve_model
    from editor.ui.aside import start_aside
    from editor.ui.blocks import build_demo
    from editor.ui.serving.workplace import give_memory_back

    detector = editor.detector  # shared by all models

    def open_model(name: str, report: Report) -> "Editor":
        path = resolve_model(name, report)
        report(f"Opening {path.name}")
        another = open_path(path, detector)
        another.prepare()

        def settle(_: object) -> None:
            another.settle()
            give_memory_back()

        start_aside("settling of the model", settle, lambda _: None)
        return another

    # Whoever may choose may also read files of this machine: for people on it, not for visitors.
    return build_demo(
        editor,
        open_model if offers_picker(args, host) else None,
        _judge(args.clip),
        _shelf(editor.card.name, args.model or BUNDLED),
    )


def leave(status: int) -> None:
    """End the program; native threads that do not end in time, and would abort it, are left behind."""
    sys.stdout.flush()
    sys.stderr.flush()
    deadline = time.monotonic() + PATIENCE
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
    if threading.active_count() > 1:
        os._exit(status)
    sys.exit(status)


def run() -> None:
    """The command `clcae-editor`."""
    leave(main())


if __name__ == "__main__":
    run()
