#!/usr/bin/env bash
# Best guess before running it: what Gradio remembers of a page goes when the page is closed and the time to live of
# its State is over.
# Seen with gradio 6.31.0: the value of the State goes, but what is kept for the page does not: a copy of the app's
# functions and components, made anew for every page. It stays until 10,000 pages are known (`state_session_capacity` of
# `launch`), whatever `time_to_live`, `delete_cache` and `unload` say. A page with more in `gr.render` leaves more.
# Printed below: pages that are known after 20 were closed and their time is over, how many of them Gradio itself calls
# closed, how many still hold a State, and whether each has functions of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check gradio==6.31.0
export GRADIO_ANALYTICS_ENABLED=False GRADIO_IS_E2E_TEST=1 # the second: closed pages wait for a second, not an hour
"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import http.client
import json
import time

import gradio as gr

with gr.Blocks() as demo:
    count = gr.State(1, time_to_live=1)
    gr.render(inputs=count)(lambda n: gr.Textbox(str(n)).change(str, None, None))
    demo.load(lambda n: n + 1, count, count)
demo.launch(prevent_thread_lock=True, quiet=True)


def line(method, path, *more):
    connection = http.client.HTTPConnection("127.0.0.1", demo.server_port)
    connection.request(method, f"/gradio_api/{path}", *more)
    return connection, connection.getresponse()


for number in range(20):
    page = f"page{number}"
    heart, _ = line("GET", f"heartbeat/{page}")  # an open page holds this line
    for fn in demo.fns.values():
        asked = {"data": [None] * len(fn.inputs), "fn_index": fn._id, "session_hash": page}
        line("POST", "queue/join", json.dumps(asked), {"Content-Type": "application/json"})[1].read()
    news = line("GET", f"queue/data?session_hash={page}")[1]
    while b"close_stream" not in (text := news.readline()) and text:
        pass
    heart.close()
time.sleep(15)
pages = list(demo.app.state_holder.session_data.values())
print("known", len(pages))
print("closed", sum(page.is_closed for page in pages))
print("with a State", sum(bool(page.state_data) for page in pages))
print("functions of its own", len({id(page.blocks_config.fns) for page in pages}) == len(pages))
PYTHON
tail -4 "$folder/seen"
diff - <(tail -4 "$folder/seen") <<'SEEN'
known 20
closed 20
with a State 0
functions of its own True
SEEN
