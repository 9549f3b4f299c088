"""A stand-in for Hugging Face on loopback, so that downloads are tested without a network."""

import hashlib
import http.server
import json
import threading
from contextlib import contextmanager

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self, status, body, headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Range")))
        self.server.keys.append(self.headers.get("Authorization"))
        path = self.path.split("?")[0]
        for repo, files in self.server.repositories.items():
            if path.startswith((f"/api/models/{repo}/revision/", f"/api/models/{repo}/tree/")) or path == (
                f"/api/models/{repo}"
            ):
                tree = "/tree/" in path
                entries = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in files.items()
                ]
                about = {
                    "id": repo,
                    "modelId": repo,
                    "sha": COMMIT,
                    "private": False,
                    "downloads": 0,
                    "likes": 0,
                    "tags": [],
                    "siblings": [{"rfilename": name} for name in files],
                }
                body = json.dumps(entries if tree else about).encode()
                return self._answer(200, body, {"Content-Type": "application/json"})
            prefix = f"/{repo}/resolve/"
            if path.startswith(prefix):
                name = path[len(prefix) :].partition("/")[2]
                if name not in files:
                    return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
                return self._send_file(files[name], path)
        return self._answer(401, b"", {"X-Error-Code": "RepoNotFound"})

    def _send_file(self, data, path):
        if self.server.store:
            about = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": hashlib.sha256(data).hexdigest()}
            return self._answer(
                302, b"", {"Location": self.server.store + path, "X-Repo-Commit": COMMIT, **about}
            )
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range")
        if wanted and self.command == "GET":
            first = int(wanted.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            return self._answer(206, data[first:], headers)
        return self._answer(200, data, headers)


@contextmanager
def hub(repositories, store=None, keys=None):
    """Serve {"owner/name": {"file": bytes}}; gives the address, and what was asked for so far.

    With a `store`, the address of another hub, files are sent from there. `keys` collects what visitors
    identify themselves with.
    """
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    server.repositories, server.asked = repositories, []
    server.store, server.keys = store, [] if keys is None else keys
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.asked
    finally:
        server.shutdown()
        server.server_close()
