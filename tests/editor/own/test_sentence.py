import builtins
import json

import numpy as np
import pytest

from editor.own.sentence import FILES, SentenceJudge
from stylegan2.errors import CheckpointError, ConfigError

pytest.importorskip("openvino")
onnx = pytest.importorskip("onnx")
WORDS = {"[UNK]": 0, "red": 1, "blue": 2, "a": 3, "photo": 4, "of": 5, "face": 6}


def network(inputs, outputs, nodes, weights):
    helper, kinds = onnx.helper, onnx.TensorProto
    shapes = {"pixel_values": ["n", 3, 224, 224], "input_ids": ["n", "m"], "attention_mask": ["n", "m"]}
    infos = [
        helper.make_tensor_value_info(
            name, kinds.FLOAT if name == "pixel_values" else kinds.INT64, shapes[name]
        )
        for name in inputs
    ]
    ends = [helper.make_tensor_value_info(name, kinds.FLOAT, None) for name in outputs]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **node[3]) for node in nodes], "g", infos, ends, tensors
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture
def folder(tmp_path):
    """Encoders that know two things: how red a picture is, and how blue."""
    axes = {"axes": [2, 3], "keepdims": 0}
    vision = network(["pixel_values"], ["last_hidden_state", "image_embeds"], [
        ("ReduceMean", ["pixel_values"], ["image_embeds"], axes),
        ("Identity", ["pixel_values"], ["last_hidden_state"], {}),
    ], {})  # fmt: skip
    table = np.zeros((7, 3), np.float32)
    table[1], table[2], table[6] = [1, 0, 0], [0, 0, 1], [0.5, 0.5, 0.5]
    text = network(["input_ids"], ["text_embeds"], [
        ("Gather", ["table", "input_ids"], ["each"], {}),
        ("ReduceMax", ["each"], ["text_embeds"], {"axes": [1], "keepdims": 0}),
    ], {"table": table})  # fmt: skip
    onnx.save(vision, tmp_path / FILES[0])
    onnx.save(text, tmp_path / FILES[1])
    split = {"type": "Whitespace"}
    model = {"type": "WordLevel", "vocab": WORDS, "unk_token": "[UNK]"}
    rest = dict.fromkeys(["truncation", "padding", "normalizer", "post_processor", "decoder"])
    tokenizer = {"version": "1.0", **rest, "added_tokens": [], "pre_tokenizer": split, "model": model}
    (tmp_path / FILES[2]).write_text(json.dumps(tokenizer))
    return tmp_path


def flat(*colour):
    return np.broadcast_to(np.array(colour, np.uint8), (64, 64, 3)).copy()


def test_faces_that_fit_a_sentence_score_higher(folder):
    pytest.importorskip("tokenizers")
    judge = SentenceJudge(folder)
    red, blue = flat(250, 90, 90), flat(90, 90, 250)
    first, second = judge([red, blue], "red")
    assert first > second + 0.1
    first, second = judge([red, blue], "blue")
    assert first < second - 0.1


@pytest.mark.parametrize("sentence", ["", "   ", "x" * 201])
def test_no_sentence_and_a_novel_are_refused(folder, sentence):
    pytest.importorskip("tokenizers")
    with pytest.raises(ConfigError, match="must be 1 to 200"):
        SentenceJudge(folder)([flat(1, 2, 3)], sentence)


@pytest.mark.parametrize("name", FILES)
def test_missing_and_damaged_files_are_named(folder, name):
    pytest.importorskip("tokenizers")
    (folder / name).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        SentenceJudge(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"no {name} there; wanted are CLIP's encoders"):
        SentenceJudge(folder)


def test_what_is_to_be_installed_is_said(folder, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match="pip install tokenizers"):
        SentenceJudge(folder)
