"""Start the app: flags, editor, demo, launch."""

import argparse
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

from editor.ui.serving.addresses import is_local

if TYPE_CHECKING:
    from editor.face.landmarks import FaceDetector
    from editor.model.shelf import ModelShelf
    from editor.own.sentence import SentenceJudge
    from editor.pipeline import Editor
    from editor.ui.serving.workplace import Workplace

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = "7860"
_ENDED = threading.Event()  # the program was told to end
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
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
    workplace: list[Workplace] = []
    try:
        return _serve(args, workplace)
    except KeyboardInterrupt:
        return 0
    finally:
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
    from editor.ui.serving.zerogpu import LentGPU, is_zerogpu

    lent = LentGPU() if is_zerogpu() else None
    # There torch says that it has CUDA, which is true only while a GPU is lent.
    device = "cpu" if lent and args.device == "auto" else args.device

    def open_path(path: Path, detector: "FaceDetector | None" = None) -> "Editor":
        return open_editor(
            path,
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
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Imported here, as they take seconds that neither --help nor a taken port should cost.
    from editor.ui.serving.workplace import Workplace

    try:
        workplaces.append(Workplace())
    except OSError as error:
        print(f"error: no folder for uploads ({error}); GRADIO_TEMP_DIR names another place", file=sys.stderr)
        return 2
    from editor.model.hub import Report
    from editor.model.source import BUNDLED, resolve_model
    from editor.pipeline import Editor
    from editor.ui.blocks import build_demo
    from editor.ui.serving.launching import launch
    from stylegan2.errors import StyleGANError

    try:
        open_path = _opener(args)
        editor = open_path(resolve_model(args.model or BUNDLED, lambda text: print(text, file=sys.stderr)))
        detector = editor.detector  # shared by all models

        def open_model(name: str, report: Report) -> Editor:
            path = resolve_model(name, report)
            report(f"Opening {path.name}")
            another = open_path(path, detector)
            another.prepare()
            return another

        # Whoever may choose may also read files of this machine: for people on it, not for visitors.
        built = build_demo(
            editor,
            open_model if offers_picker(args, host) else None,
            _judge(args.clip),
            _shelf(editor.card.name, args.model or BUNDLED),
        )
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
        editor.prepare()  # after the launch: converting keeps a small machine too busy to answer it in time
        # The handlers have it, and give it up where another model is chosen.
        del editor, built
        while not _ENDED.is_set():
            time.sleep(1)
    finally:
        served.close()


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
