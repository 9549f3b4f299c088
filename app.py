"""Start the app: flags, editor, demo, launch."""

import argparse
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Sequence

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = "7860"


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


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 2 where a flag, the weights or the port is at fault."""
    args = build_parser().parse_args(argv)
    host = args.host or os.environ.get("GRADIO_SERVER_NAME") or DEFAULT_HOST
    try:
        port = check_address(host, args.port or os.environ.get("GRADIO_SERVER_PORT") or DEFAULT_PORT)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Imported here, as they take seconds that neither --help nor a taken port should cost.
    from editor.hub import Report
    from editor.model_source import BUNDLED, resolve_model
    from editor.pipeline import Editor, open_editor
    from editor.ui.blocks import LAUNCH_OPTIONS, build_demo
    from stylegan2.errors import StyleGANError

    try:
        options = {"device": args.device, "engine": args.engine, "identity": args.identity}
        model = resolve_model(args.model or BUNDLED, lambda text: print(text, file=sys.stderr))
        editor = open_editor(model, face_model=args.face_model, **options)

        def open_model(name: str, report: Report) -> Editor:
            path = resolve_model(name, report)
            report(f"Opening {path.name}")
            another = open_editor(path, detector=editor.detector, **options)
            another.prepare()
            return another

        # Whoever may choose may also read files of this machine: for people on it, not for visitors.
        demo = build_demo(editor, open_model if is_local(host) else None)
        demo.launch(server_name=host, server_port=port, prevent_thread_lock=True, **LAUNCH_OPTIONS)
        print(f"Running on http://{host}:{port} (Ctrl-C ends it)", flush=True)
        editor.prepare()  # after the launch: converting keeps a small machine too busy to answer it in time
    except (StyleGANError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # Ended politely either way, so that the visitors' files are deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    demo.block_thread()
    return 0


if __name__ == "__main__":
    sys.exit(main())
