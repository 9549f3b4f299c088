import pytest

from stylegan2.errors import CheckpointError
from stylegan2.reading import listing
from stylegan2.reading.listing import read_listing


def listed(tmp_path, text):
    file = tmp_path / "listing.yaml"
    file.write_text(text)
    return read_listing(file)


def test_a_plain_listing_is_read_as_it_is(tmp_path):
    text = "name: Faces\nfiles:\n  generator: {file: g.safetensors, sizes: [1, 2.5, null, true]}\n"
    sizes = {"file": "g.safetensors", "sizes": [1, 2.5, None, True]}
    assert listed(tmp_path, text) == {"name": "Faces", "files": {"generator": sizes}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x\n", r"an alias \(\*x\); write the value itself"),
        ("a: " + "[" * 20 + "]" * 20, "nested deeper than 16"),
        ("a: " + "1:" * 3000 + "1", "a value of 6001 characters; at most 4096"),
        ("- a\n", "expected a mapping, found list"),
        ("a: [1\n", "not readable as YAML"),
        ("a: 2001-99-99\n", "not readable as YAML"),
        ("a: !!python/object:os.system {}\n", "not readable as YAML"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_its_kind(tmp_path, text, said):
    with pytest.raises(CheckpointError, match=rf"listing\.yaml: {said}"):
        listed(tmp_path, text)


def test_a_large_file_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "MAX_BYTES", 64)
    with pytest.raises(CheckpointError, match="larger than 64 bytes"):
        listed(tmp_path, "a: " + "x" * 62)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read_listing(tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_bytes(b"a: \xff")
    with pytest.raises(CheckpointError, match="not readable as YAML"):
        read_listing(tmp_path / "odd.yaml")
