"""SentenceJudge: how well faces fit a sentence, by CLIP's encoders that the user names."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from editor.photo.colour import Pixels
from stylegan2.engines.openvino import import_openvino
from stylegan2.errors import CheckpointError, ConfigError

FILES = ("vision_model.onnx", "text_model.onnx", "tokenizer.json")
SIDE = 224
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)  # of CLIP's training pictures, 0 to 1
SPREAD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
TOKENS, MOST_LETTERS = 77, 200
PLAIN = "a photo of a face"  # what every face fits: the rest is what the sentence is about
WANTED = (
    "CLIP's encoders as ONNX files, vision_model.onnx and text_model.onnx, with tokenizer.json beside them"
)


class SentenceJudge:
    """Cosine of pictures with a sentence, less that with a sentence about any face.

    CLIP (Radford et al. 2021, arXiv:2103.00020) does not come with the app: its makers advise against use on
    faces without care, and its files are larger than all else here together.

    Args:
        folder: Holds `FILES`, as Hugging Face's exports have them.

    Raises:
        CheckpointError: A file is missing or is none of these.
        ConfigError: The package `tokenizers` is missing.
        EngineError: OpenVINO is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder, self._lock = Path(folder), threading.Lock()
        missing = [name for name in FILES if not (self._folder / name).is_file()]
        if missing:
            raise CheckpointError(f"{folder}: no {missing[0]} there; wanted are {WANTED}")
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ConfigError("sentences need the package `tokenizers`: pip install tokenizers") from error
        try:
            self._tokenizer = Tokenizer.from_file(str(self._folder / FILES[2]))
        except Exception as error:  # it raises nothing more special
            raise CheckpointError(f"{self._folder / FILES[2]}: no tokenizer ({error})") from error
        core = import_openvino().Core()
        self._vision, self._text = (self._compiled(core, name) for name in FILES[:2])
        self._ask(self._vision, {"pixel_values": np.zeros((1, 3, SIDE, SIDE), np.float32)}, FILES[0])

    def __call__(self, faces: Sequence[Pixels], sentence: str) -> list[float]:
        """How well each face [R, R, 3] fits the sentence, about 0.

        Raises:
            ConfigError: The sentence is empty or too long.
        """
        words = " ".join(sentence.split())
        if not words or len(words) > MOST_LETTERS:
            raise ConfigError(f"sentence: {len(words)} characters; must be 1 to {MOST_LETTERS}")
        about, plain = (self._sentence(each) for each in (words, PLAIN))
        return [float(self._picture(face) @ (about - plain)) for face in faces]

    def _picture(self, face: Pixels) -> NDArray[np.float32]:
        large = cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
        values = ((large - MEAN) / SPREAD).transpose(2, 0, 1)[None]
        return self._ask(self._vision, {"pixel_values": values}, FILES[0])

    def _sentence(self, words: str) -> NDArray[np.float32]:
        ids = self._tokenizer.encode(words).ids[:TOKENS]
        values = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, len(ids)), np.int64)}
        return self._ask(self._text, values, FILES[1])

    def _ask(self, network: Any, values: dict[str, Any], name: str) -> NDArray[np.float32]:  # noqa: ANN401
        """The embedding [D] of unit length: the output that is called so, or the only one."""
        known = {port.any_name for port in network.inputs}
        try:
            with self._lock:
                answers = network({key: value for key, value in values.items() if key in known})
            outputs = {key.any_name: value for key, value in answers.items()}
            found = next((value for key, value in outputs.items() if key.endswith("embeds")), None)
            vector = np.array(next(iter(outputs.values())) if found is None else found, np.float32).reshape(
                -1
            )
        except (RuntimeError, StopIteration) as error:
            raise CheckpointError(f"{self._folder / name}: does not answer as CLIP's encoder does") from error
        unit: NDArray[np.float32] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return unit

    def _compiled(self, core: Any, name: str) -> Any:  # noqa: ANN401
        try:
            return core.compile_model(str(self._folder / name), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except RuntimeError as error:
            raise CheckpointError(f"{self._folder / name}: no ONNX file that OpenVINO can read") from error
