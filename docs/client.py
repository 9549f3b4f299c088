"""What programs may ask of the running app: `python docs/client.py http://127.0.0.1:7860 PHOTO [PHOTO ...]`.

Needs nothing of this project but `pip install gradio_client`.
"""

import base64
import sys
from pathlib import Path

from gradio_client import Client

address, *names = sys.argv[1:]
photos = [base64.b64encode(Path(name).read_bytes()).decode() for name in names]
client = Client(address, verbose=False, analytics_enabled=False)

for face in client.predict(photo=photos[0], api_name="/faces")["faces"]:
    print(f"face {face['number']}: box {face['box']}, turned by {face['yaw']} degrees", face["refusal"])

measured = client.predict(photo=photos[0], face=None, space=None, api_name="/metrics")
print("reconstruction:", ", ".join(f"{value} dB in {space}" for space, value in measured["psnr"].items()))


def save(name: str, address_of_data: str) -> None:
    """Write what a data: address holds beside the caller, as NAME-edited and its kind of file."""
    kind, _, data = address_of_data.partition(";base64,")
    suffix = kind.removeprefix("data:image/").replace("jpeg", "jpg")
    file = Path(f"{Path(name).stem}-edited.{suffix}")
    file.write_bytes(base64.b64decode(data))
    print("wrote", file)


edited = client.predict(photo=photos[0], strengths={"smile": 1, "age": -10}, api_name="/edit")
save("first", edited["photo"])

answers = client.predict(photos=photos, strengths={"smile": 1}, api_name="/batch")["photos"]
for name, answer in zip(names, answers, strict=True):
    if "error" in answer:
        print(f"{name}: {answer['error']}")
    else:
        save(name, answer["photo"])
