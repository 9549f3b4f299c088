"""Which files of a folder or a tar are pictures, and what is said of them."""

import io
import tarfile

import pytest

from tests.helpers.pictures import encoded, picture
from train.data.images import describe_counts, find_images, read_images
from train.data.shards import read_shard
from train.errors import DatasetError

FACE = encoded(picture(16, 16), "PNG")
NOTE = b"\0\5\x16\7\0\2\0\0Mac OS X        "  # how a file ._a.png begins


def fill(folder, *names, data=FACE):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(NOTE if "/._" in f"/{name}" else data)


def write_tar(path, *names):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name in names:
            data = NOTE if "/._" in f"/{name}" else FACE
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def keys(source):
    return [key for key, _ in source.samples(list(source.files), 0, None)]


HIDDEN = (
    "._a.png",
    ".a.png",
    ".cache/a.png",
    "sub/.cache/deep/a.png",
    "__MACOSX/a.png",
    "sub/__MACOSX/._a.png",
)


def test_hidden_files_of_a_folder_are_no_pictures(tmp_path):
    folder = tmp_path / ".dotted" / "faces"  # what the user names may be hidden
    fill(folder, "a.png", "sub/b.png", *HIDDEN)
    source = find_images(str(folder))
    assert keys(source) == ["faces/a.png", "sub/b.png"]
    assert sum(map(len, read_images(source, 16, 4))) == 2
    assert source.describe() == f"{folder}: 2 pictures in 2 files"


def test_hidden_files_of_a_tar_are_no_pictures(tmp_path):
    tar = write_tar(tmp_path / ".dotted" / "a.tar", "./a.png", "v1.0/b.png", *HIDDEN)
    assert [key for key, _ in read_shard(str(tar))] == ["a.tar/./a.png", "a.tar/v1.0/b.png"]
    assert find_images(str(tar)).describe() == f"{tar}: 2 pictures in 1 file"


def test_hidden_tars_are_no_shards(tmp_path):
    write_tar(tmp_path / "a.tar", "a.png")
    fill(tmp_path, "._a.tar")
    assert keys(find_images(str(tmp_path))) == ["a.tar/a.png"]


def test_a_damaged_picture_is_named_without_an_address_in_memory(tmp_path):
    fill(tmp_path, "a.png", data=b"no picture at all")
    with pytest.raises(DatasetError, match=r"a\.png is text; allowed are JPEG") as caught:
        list(read_images(find_images(str(tmp_path)), 16, 4))
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("tar", ["a.tar", "sub/a.tar"])
def test_pictures_beside_shards_are_refused_naming_both(tmp_path, tar):
    write_tar(tmp_path / tar, "a.png", "b.png")
    fill(tmp_path, "stray.png")
    with pytest.raises(
        DatasetError, match=r"both pictures \(1, as .*stray\.png\) and shards \(1, as .*a\.tar\)"
    ):
        find_images(str(tmp_path))


def test_shards_are_found_in_subfolders(tmp_path):
    write_tar(tmp_path / "sub" / "a.tar", "a.png")
    assert keys(find_images(str(tmp_path))) == ["a.tar/a.png"]


def test_links_to_folders_are_followed_and_circles_are_left(tmp_path):
    fill(tmp_path / "faces", "z/a.png")
    fill(tmp_path / "elsewhere", "b.png", "deep/c.png")
    (tmp_path / "faces" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "faces" / "a-again").symlink_to("z")
    (tmp_path / "faces" / "z" / "up").symlink_to(tmp_path / "faces")
    (tmp_path / "elsewhere" / "self").symlink_to(".")
    (tmp_path / "elsewhere" / "d.png").symlink_to("b.png")
    source = find_images(str(tmp_path / "faces"))
    assert keys(source) == ["linked/b.png", "linked/d.png", "deep/c.png", "z/a.png"]


def test_a_link_to_nothing_is_an_error_when_it_is_read(tmp_path):
    (tmp_path / "a.png").symlink_to("gone.png")
    with pytest.raises(DatasetError, match=r"a\.png: not readable"):
        keys(find_images(str(tmp_path)))


@pytest.mark.parametrize("name", [r"C:\faces\part-0.tar", "part-{0..1}.tar", "part-*.tar", "part-{0.tar"])
def test_a_file_that_is_there_is_taken_by_its_very_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_tar(tmp_path / name, "a.png")
    write_tar(tmp_path / "part-0.tar", "b.png")
    assert find_images(name).files == (name,)


def test_backslashes_survive_in_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = (r"C:\faces\part-0.tar", r"C:\faces\part-1.tar")
    for name in names:
        write_tar(tmp_path / name, "a.png")
    assert find_images(r"C:\faces\part-{0..1}.tar").files == names
    with pytest.raises(DatasetError, match=r"C:\\faces\\gone-0\.tar: no such file"):
        find_images(r"C:\faces\gone-{0..1}.tar")


def test_only_the_picture_of_a_key_is_read_from_a_tar(tmp_path):
    names = ("a.png", "a.mask.png", "a.json", "b.jpg", "b.depth.PNG", "b.seg.tif")
    tar = write_tar(tmp_path / "a.tar", *names)
    source = find_images(str(tar))
    assert keys(source) == ["a.tar/a.png", "a.tar/b.jpg"]
    assert source.describe() == f"{tar}: 2 pictures in 1 file; 3 files left out, as a.mask.png"


def test_a_key_ends_at_the_first_dot_of_a_name(tmp_path):
    """WebDataset's rule: a.b.png is the field b.png of a."""
    tar = write_tar(tmp_path / "a.tar", "set.1/a.b.png")
    message = r"a\.tar: no pictures; 1 file left out, as set\.1/a\.b\.png; .* must have one dot only"
    with pytest.raises(DatasetError, match=message):
        list(read_shard(str(tar)))
    with pytest.raises(DatasetError, match=message):
        list(read_images(find_images(str(tar)), 16, 4))
    fill(tmp_path / "folder", "a.b.png")  # a folder has no keys
    assert keys(find_images(str(tmp_path / "folder"))) == ["folder/a.b.png"]


def test_pictures_are_counted_over_shards_without_being_read(tmp_path):
    for shard in range(3):
        write_tar(tmp_path / f"part-{shard}.tar", *(f"{number:04}.png" for number in range(400)), "0.json")
    assert find_images(str(tmp_path)).describe() == f"{tmp_path}: 1,200 pictures in 3 files"
    pattern = f"{tmp_path}/part-{{1..2}}.tar"
    assert find_images(pattern).describe() == f"{pattern}: 800 pictures in 2 files"


def test_a_folder_says_what_it_leaves_out(tmp_path):
    fill(tmp_path, "a.png", "b.psd", "c.json", ".hidden")
    assert (
        find_images(str(tmp_path)).describe()
        == f"{tmp_path}: 1 picture in 1 file; 2 files left out, as b.psd"
    )


def test_a_damaged_shard_is_an_error_when_it_is_counted(tmp_path):
    tar = write_tar(tmp_path / "a.tar", "a.png", "b.png", "c.png")
    for content in (b"no tar at all", tar.read_bytes()[:600]):
        tar.write_bytes(content)
        with pytest.raises(DatasetError, match=r"a\.tar: damaged or unreadable shard"):
            find_images(str(tar)).describe()


def test_addresses_are_counted_by_files_and_nothing_is_asked():
    source = find_images("https://faces.invalid/part-{0..4}.tar?key=secret")
    assert source.describe() == "https://faces.invalid/part-{0..4}.tar: 5 files, streamed"
    assert "secret" not in source.name


def test_counts_are_told_in_one_way():
    assert describe_counts("faces", 34144, 5) == "faces: 34,144 pictures in 5 files"
    assert describe_counts("pool", 1, 1) == "pool: 1 picture in 1 file"
