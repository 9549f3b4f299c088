import io
import itertools
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from train.data.images import decode_image, find_images, in_validation, read_images
from train.data.stream import ImageStream, ReaderPosition, RealImages
from train.errors import DatasetError

PER_SHARD = 12


def encode(value, size=16, form="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, 0, 255 - value)).save(buffer, form, lossless=True)
    return buffer.getvalue()


def write_shard(path, values, suffix="png"):
    with tarfile.open(path, "w") as tar:
        for number, value in enumerate(values):
            for name, data in (
                (f"{number:04}.{suffix}", encode(value, form="PNG")),
                (f"{number:04}.json", b"{}"),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path):
    for shard in range(3):
        write_shard(tmp_path / f"part-{shard}.tar", range(shard * PER_SHARD, (shard + 1) * PER_SHARD))
    return tmp_path


def assert_resumes(stream, taken, more):
    """A stream that is stopped after `taken` batches goes on with those that an unbroken one shows."""
    whole, broken, resumed = stream(), stream(), stream()
    expected = [whole.next() for _ in range(taken + more)][taken:]
    for _ in range(taken):
        broken.next()
    resumed.load_state_dict(broken.state_dict())
    assert all(torch.equal(pixels, resumed.next()) for pixels in expected)


def reds(batches):
    return torch.cat([batch[:, 0, 0, 0] for batch in batches]).tolist()


def test_shards_are_found_by_braces_wildcards_folder_and_name(shards):
    patterns = ("part-{0..2}.tar", "part-*.tar", "", "part-0.tar")
    assert [len(find_images(str(shards / pattern)).files) for pattern in patterns] == [3, 3, 3, 1]


def test_a_folder_of_pictures_is_read_with_its_subfolders(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.PNG").write_bytes(encode(1))
    (tmp_path / "sub" / "b.webp").write_bytes(encode(2, form="WEBP"))
    (tmp_path / "notes.txt").write_text("no picture")
    pixels = torch.cat(list(read_images(find_images(str(tmp_path)), 16, 4)))
    assert pixels.shape == (2, 16, 16, 3)
    assert pixels[:, 0, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["none.tar", "none-*.tar", "none-{0..3}.tar", "nowhere"])
def test_a_pattern_without_files_is_refused(tmp_path, name):
    with pytest.raises(DatasetError, match="no such file or folder"):
        find_images(str(tmp_path / name))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"no images \(looked for \.png .*\.jpg .*\.tif"):
        find_images(str(tmp_path))


def test_a_single_file_that_is_no_shard_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(1))
    with pytest.raises(DatasetError, match=r"expected a folder or \.tar shards, found a\.png"):
        find_images(str(tmp_path / "a.png"))


def test_a_command_in_place_of_a_path_is_never_run(tmp_path):
    with pytest.raises(DatasetError, match="no such file or folder; allowed: local paths, and http://"):
        find_images(f"pipe:touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()


def test_shrinking_averages_areas():
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    expected = values.reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert (
        np.abs(decode_image(buffer.getvalue(), 4, "x") - expected).max() <= 1
    )  # Pillow rounds after each axis


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (b"", r" is empty \(0 bytes\)"),
        (b"no picture", " is text; allowed are JPEG"),
        (encode(3, 64)[:90], " cannot be decoded"),
        (encode(3, 8), ": 8 x 8 pixels; expected a cropped square of at least 16"),
    ],
)
def test_a_bad_picture_is_refused_by_name(encoded, message):
    with pytest.raises(DatasetError, match=f"^face 7{message}"):
        decode_image(encoded, 16, "face 7")


def test_a_picture_that_is_not_square_is_refused():
    buffer = io.BytesIO()
    Image.new("RGB", (32, 40)).save(buffer, "PNG")
    with pytest.raises(DatasetError, match="32 x 40 pixels"):
        decode_image(buffer.getvalue(), 16, "x")


@pytest.mark.parametrize("content", [b"no tar at all", b""])
def test_a_damaged_shard_is_refused(tmp_path, content):
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises(DatasetError, match=r"bad\.tar"):
        list(read_images(find_images(str(tmp_path / "bad.tar")), 16, 4))


def test_a_truncated_shard_is_refused(shards):
    whole = (shards / "part-0.tar").read_bytes()
    (shards / "part-0.tar").write_bytes(whole[: 512 * 5 + 100])
    with pytest.raises(DatasetError):
        list(read_images(find_images(str(shards / "part-0.tar")), 16, 4))


def test_the_validation_split_is_stable_even_and_disjoint_from_training(shards):
    keys = [f"shard/{i}" for i in range(4000)]
    share = sum(in_validation(key, 0.25) for key in keys) / len(keys)
    assert abs(share - 0.25) < 0.03
    assert all(in_validation(key, 0.5) for key in keys if in_validation(key, 0.25))
    source = find_images(str(shards))
    held = reds(read_images(source, 16, 5, keep=lambda key: in_validation(key, 0.3)))
    stream = RealImages(source, 16, 4, validation_fraction=0.3, buffer=5)
    trained = set(reds([stream.next() for _ in range(30)]))
    assert 0 < len(held) < 3 * PER_SHARD
    assert trained == set(range(3 * PER_SHARD)) - set(held)


def test_reading_keeps_order_and_obeys_the_limit(shards):
    source = find_images(str(shards))
    assert reds(read_images(source, 16, 5)) == list(range(3 * PER_SHARD))
    assert reds(read_images(source, 16, 5, limit=7)) == list(range(7))
    with pytest.raises(DatasetError, match="no pictures kept"):
        list(read_images(source, 16, 5, keep=lambda key: False))


def test_every_pass_shows_every_picture_once_in_another_order(shards):
    stream = RealImages(find_images(str(shards)), 16, 6, buffer=10, seed=3)
    first, second = (reds([stream.next() for _ in range(6)]) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(3 * PER_SHARD))
    assert first != second
    assert first != sorted(first)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [1, 11])
def test_a_resumed_stream_goes_on_with_the_same_pictures(shards, workers, taken):
    def stream():
        return RealImages(find_images(str(shards)), 16, 5, buffer=7, seed=1, workers=workers)

    assert_resumes(stream, taken, 9)


def test_a_folder_streams_like_shards(tmp_path):
    for value in range(10):
        (tmp_path / f"{value}.png").write_bytes(encode(value))
    stream = RealImages(find_images(str(tmp_path)), 16, 5, buffer=3)
    assert sorted(reds([stream.next(), stream.next()])) == list(range(10))


def test_a_stream_without_training_pictures_is_refused(shards):
    stream = RealImages(find_images(str(shards)), 16, 2, validation_fraction=0.9999999)
    with pytest.raises(DatasetError, match="no training pictures"):
        stream.next()


def reader(source, process, workers, **changes):
    options = {"validation_fraction": 0.0, "buffer": 4, "seed": 0, "delivered": 0, **changes}
    positions = options.pop("positions", [ReaderPosition()] * workers)
    return iter(ImageStream(source, 16, 1, positions=positions, process=process, **options))


def one_pass(source, process, workers, **changes):
    """Reds that each worker of one process shows in its first pass, by worker."""
    shown = {}
    for number in range(workers):
        stream = reader(source, process, workers, **changes, delivered=number)
        taken = itertools.takewhile(lambda batch: batch[2] == 0, stream)
        shown[number] = [int(pixels[0, 0, 0, 0]) for pixels, *_ in taken]
    return shown


@pytest.mark.parametrize(("processes", "workers"), [(8, 1), (2, 4), (1, 6), (5, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("fraction", [0.0, 0.3])
def test_readers_share_shards_without_a_gap_or_a_picture_twice(shards, processes, workers, fraction):
    source = find_images(str(shards))
    shares = [
        shown
        for number in range(processes)
        for shown in one_pass(source, (number, processes), workers, validation_fraction=fraction).values()
    ]
    held = reds(read_images(source, 16, 5, keep=lambda key: in_validation(key, fraction))) if fraction else []
    assert sorted(itertools.chain(*shares)) == sorted(set(range(3 * PER_SHARD)) - set(held))
    assert len(shares) == processes * workers
    if not fraction and len(shares) >= 3:
        assert max(map(len, shares)) - min(map(len, shares)) <= 3  # one more of each shard


def test_readers_that_divide_evenly_over_shards_open_only_their_own(shards):
    """Six readers of three shards: two for each."""
    for number in range(6):
        (shown,) = one_pass(find_images(str(shards)), (number, 6), 1).values()
        assert len(shown) == PER_SHARD // 2
        assert {red // PER_SHARD for red in shown} == {number % 3}


@pytest.mark.parametrize("taken", [1, 5, 13])
def test_a_reader_of_shared_shards_resumes_at_the_exact_picture(shards, taken):
    source = find_images(str(shards))
    whole = list(itertools.islice(reader(source, (3, 4), 1), taken + 20))
    resumed = reader(source, (3, 4), 1, positions=[ReaderPosition(*whole[taken - 1][2:])])
    for expected, found in zip(whole[taken:], resumed, strict=False):
        assert torch.equal(expected[0], found[0])
        assert expected[1:] == found[1:]


def test_a_stream_with_more_workers_than_shards_resumes(shards):
    assert_resumes(lambda: RealImages(find_images(str(shards)), 16, 2, buffer=3, workers=4), 7, 13)


def test_more_workers_than_pictures_in_a_folder_are_refused(tmp_path):
    for value in range(3):
        (tmp_path / f"{value}.png").write_bytes(encode(value))
    with pytest.raises(DatasetError, match="4 workers for 3 pictures; must be as many or fewer"):
        reader(find_images(str(tmp_path)), (1, 2), 2)


def test_a_position_of_another_number_of_workers_is_refused(shards):
    source = find_images(str(shards))
    with pytest.raises(DatasetError, match="not one of 1 workers"):
        RealImages(source, 16, 2).load_state_dict(RealImages(source, 16, 2, workers=2).state_dict())


def test_two_pictures_of_one_key_are_refused_since_one_may_be_a_mask(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ("face.webp", "face.json", "face.png"):
            data = encode(1)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    source = find_images(str(tmp_path / "a.tar"))
    said = r"a\.tar: face has the pictures \.webp and \.png; must be one"
    with pytest.raises(DatasetError, match=said):
        source.describe()
    with pytest.raises(DatasetError, match=said):
        next(read_images(source, 16, 1))
