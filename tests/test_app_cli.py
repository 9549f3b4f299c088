import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parent
TIMEOUT = 180  # seconds; a loaded machine takes long to import torch


def start(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


def assert_refused(done, *words):
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert all(word in line for word in words), line


def test_a_port_in_use_is_named_with_what_to_do(taken_port):
    assert_refused(start("--port", taken_port), f"port {taken_port}", "in use", "--port")


def test_the_port_of_the_environment_is_checked_alike(taken_port):
    done = start(GRADIO_SERVER_NAME="127.0.0.1", GRADIO_SERVER_PORT=taken_port)
    assert_refused(done, f"port {taken_port} on 127.0.0.1", "in use")


def test_a_flag_goes_before_the_environment(taken_port):
    assert_refused(start("--port", taken_port, GRADIO_SERVER_PORT="nonsense"), f"port {taken_port}")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "80 80", "x"])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(OSError, match="from 1 to 65535"):
        app.check_address("127.0.0.1", port)


def test_what_is_no_host_is_refused():
    with pytest.raises(OSError, match=r"256\.1\.1\.1"):
        app.check_address("256.1.1.1", "7860")


def test_a_free_port_is_taken_as_it_is(taken_port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert app.check_address("127.0.0.1", str(port)) == port
    assert app.check_address("0.0.0.0", str(port)) == port


def test_a_folder_without_a_bundle_is_named(tmp_path):
    assert_refused(start("--model", str(tmp_path), "--port", free_port()), str(tmp_path), "bundle.yaml")


def test_a_model_that_is_not_there_is_named():
    done = start("--model", "./no/such/folder", "--port", free_port())
    assert_refused(done, "./no/such/folder: no such file or folder")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
    ],
)
def test_only_people_on_this_machine_may_choose_a_model(host, local):
    assert app.is_local(host) == local


@pytest.mark.parametrize(
    ("flags", "host", "offered"),
    [
        ([], "127.0.0.1", True),
        ([], "0.0.0.0", False),
        (["--allow-host", "faces.example"], "127.0.0.1", False),
        (["--root-path", "/faces"], "127.0.0.1", False),
        (["--root-path", "/faces", "--model-picker", "on"], "127.0.0.1", True),
        (["--model-picker", "on"], "0.0.0.0", True),
        (["--model-picker", "off"], "127.0.0.1", False),
    ],
)
def test_behind_a_proxy_the_picker_needs_a_flag(flags, host, offered):
    assert app.offers_picker(app.build_parser().parse_args(flags), host) == offered


def listens_to_sigterm(process):
    """Whether the program has its own answer to SIGTERM by now."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this machine")
@pytest.mark.parametrize("wait", [0.0, 1.5, 4.0])
def test_ended_at_any_moment_it_ends_well(wait, tmp_path):
    """Right after the start, while it imports and reads weights, and while engines are built."""
    process = subprocess.Popen(
        [sys.executable, "app.py", "--port", free_port()],
        cwd=ROOT,
        env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "uploads"), "CLCAE_CACHE_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not listens_to_sigterm(process):
        time.sleep(0.01)
    time.sleep(wait)
    process.terminate()
    said, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert not list((tmp_path / "uploads").glob("*")) if (tmp_path / "uploads").exists() else True


def test_it_ends_too_where_a_library_swallows_the_signal(tmp_path):
    """As MediaPipe's start did now and then: an exception within a callback of C is told, and dropped."""
    script = """if True:
        import signal, sys
        import app
        from editor.pipeline import Editor

        def settle(self):
            try:
                signal.raise_signal(signal.SIGTERM)
            except KeyboardInterrupt:
                print("swallowed", flush=True)

        Editor.settle = settle
        sys.argv = ["app.py", "--port", sys.argv[1]]
        app.run()
    """
    done = subprocess.run(
        [sys.executable, "-c", script, free_port()],
        cwd=ROOT,
        env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "uploads"), "CLCAE_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert "swallowed" in done.stdout
    assert done.returncode == 0, done.stderr


def test_an_unknown_engine_is_named_with_the_allowed_ones():
    assert_refused(start("--engine", "warp", "--port", free_port()), "warp", "auto, torch, openvino")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def test_help_needs_no_model():
    start_time = time.perf_counter()
    done = start("--help")
    assert done.returncode == 0
    assert "--model" in done.stdout
    assert time.perf_counter() - start_time < 10  # torch and Gradio alone take that long on a busy machine


def test_nothing_heavy_is_imported_for_help():
    code = "import sys, app; sys.exit(sum(name in sys.modules for name in ('torch', 'gradio', 'mediapipe')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
