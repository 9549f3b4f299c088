import http.client
import json
import socket

import pytest

from editor.ui.starting.doorstep import Doorstep
from tests.helpers.running_app import free_port


@pytest.fixture
def port():
    return free_port()


def ask(port, path, method="GET"):
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    line.request(method, path)
    answer = line.getresponse()
    return answer, answer.read().decode(errors="replace")


def test_who_comes_early_is_told_how_far_the_start_is(port):
    with Doorstep("127.0.0.1", port) as step:
        answer, page = ask(port, "/?a=b")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "<title>Live face editor</title>" in page
        assert "http" not in page.replace("https://", "").split("<body")[0]  # nothing of other hosts
        assert json.loads(ask(port, "/starting")[1]) == {"words": "Starting."}
        step.words = "Opening the model."
        assert json.loads(ask(port, "/starting")[1]) == {"words": "Opening the model."}
        assert ask(port, "/icon.png")[0].headers["Content-Type"] == "image/png"
        answer, body = ask(port, "/", "HEAD")
        assert (answer.status, body) == (200, "")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_programs_are_told_to_come_again(port, method):
    with Doorstep("127.0.0.1", port):
        answer, _ = ask(port, "/config", method)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


def test_no_other_file_is_given_away(port):
    with Doorstep("127.0.0.1", port):
        for path in ("/head.html", "/../doorstep.py", "/%2e%2e/doorstep.py", "//etc/passwd"):
            assert ask(port, path)[0].status == 503


def test_the_address_is_free_again_at_once(port):
    with Doorstep("127.0.0.1", port) as step:
        ask(port, "/")
        step.close()
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_an_address_that_is_taken_is_refused(port):
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
        Doorstep("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_it_answers_by_the_newer_protocol_too(port):
    try:
        step = Doorstep("[::1]", port)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with step:
        line = http.client.HTTPConnection("::1", port, timeout=10)
        line.request("GET", "/starting")
        assert line.getresponse().status == 200
