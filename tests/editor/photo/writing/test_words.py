"""What a saved photo says: the user's own words, what was done, and nothing of the face as it was."""

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, IptcImagePlugin

from editor.errors import ImageInputError
from editor.photo.original import open_photo
from editor.photo.png_colour import profile_of_chunks
from editor.photo.writing.exif import read_exif, rebuilt
from editor.photo.writing.iptc import read_iptc
from editor.photo.writing.saving import encode_photo
from editor.photo.writing.xmp import SOFTWARE, SOURCE_TYPE, fresh_packet, read_xmp
from tests.editor.photo.test_heif import heic
from tests.helpers.hand_made import chunk
from tests.helpers.pictures import encoded, picture

OLD_FACE = b"THE FACE AS IT WAS, ANY PREVIEW"
NOTE = "Smile +1.5"
KINDS = ("jpeg", "png", "webp")
P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
WIDE = profile_of_chunks({"gamma": 1 / 2.2, "chromaticity": P3}, grey=False)

XMP = f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><!-- a remark -->
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/" xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/"
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmp:Rating="4" hdrgm:Version="1.0" GDepth:Data="{OLD_FACE.decode()}" tiff:Orientation="3">
<photoshop:DateCreated>2024-05-06</photoshop:DateCreated>
<dc:creator><rdf:Seq><rdf:li>Ann &amp; Bo</rdf:li></rdf:Seq></dc:creator>
<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">(c) Ann</rdf:li></rdf:Alt></dc:rights>
<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource"><xmpGImg:image>{OLD_FACE.decode()}</xmpGImg:image>
</rdf:li></rdf:Alt></xmp:Thumbnails>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>""".encode()


def exif_block(orientation=1, **words):
    """An EXIF block as a camera writes it, with a thumbnail behind."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", "Model 5"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Software] = "Camera firmware 1.0"
    exif[ExifTags.Base.DateTime] = "2024:05:06 07:08:09"
    if "description" in words:
        exif[ExifTags.Base.ImageDescription] = words["description"]
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.DateTimeOriginal] = "2024:05:06 07:08:09"
    inner[ExifTags.Base.ExposureTime] = (1, 125)
    inner[ExifTags.Base.LensModel] = "50mm f/1.8"
    inner[ExifTags.Base.ColorSpace] = 65535
    inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight] = 64, 48
    inner[ExifTags.Base.SubjectLocation] = (1, 2, 3, 4)
    inner[ExifTags.Base.MakerNote] = OLD_FACE
    if "comment" in words:
        inner[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + words["comment"]
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[1], place[2], place[3], place[4] = "N", (48.0, 51.0, 29.5), "E", (2.0, 17.0, 40.2)
    block = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
    order = "<" if block[:2] == b"II" else ">"
    at = 8 + 2 + 12 * struct.unpack_from(f"{order}H", block, 8)[0]
    assert struct.unpack_from(f"{order}I", block, at)[0] == 0  # Pillow writes no second directory
    struct.pack_into(f"{order}I", block, at, len(block))
    start = len(block) + 2 + 2 * 12 + 4
    block += struct.pack(f"{order}H", 2)
    block += struct.pack(f"{order}HHII", 513, 4, 1, start) + struct.pack(
        f"{order}HHII", 514, 4, 1, len(OLD_FACE)
    )
    return b"Exif\0\0" + bytes(block) + bytes(4) + OLD_FACE


def irb(number, body):
    return b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body + b"\0" * (len(body) % 2)


def iim(*datasets):
    return b"".join(struct.pack(">BBBH", 28, 2, number, len(text)) + text for number, text in datasets)


def segment(number, body):
    return bytes([0xFF, 0xE0 + number]) + struct.pack(">H", len(body) + 2) + body


def camera_jpeg(**words):
    """A JPEG with all that a telephone and an editor may put into it."""
    captions = iim((80, b"Ann"), (116, "© Ann".encode()), (40, b"hurry"), (202, OLD_FACE))
    extra = segment(13, b"Photoshop 3.0\0" + irb(0x0404, captions) + irb(0x040C, bytes(28) + OLD_FACE))
    extra += segment(2, b"FPXR\0" + OLD_FACE) + segment(11, b"JP\0\0" + OLD_FACE) + segment(14, OLD_FACE)
    data = encoded(
        picture(),
        "JPEG",
        quality=90,
        exif=exif_block(**words),
        xmp=XMP,
        extra=extra,
        icc_profile=WIDE,
        comment=OLD_FACE,
        dpi=(300, 300),
    )
    return data + b"trailer" + OLD_FACE


SOURCES = {
    "JPEG": camera_jpeg(),
    "PNG": encoded(picture(), "PNG", exif=exif_block(), icc_profile=WIDE, dpi=(300, 300))[:-12]
    + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
    + chunk(b"tEXt", b"Preview\0" + OLD_FACE)
    + chunk(b"IEND", b""),
    "WEBP": encoded(picture(), "WEBP", lossless=True, exif=exif_block(), xmp=XMP, icc_profile=WIDE),
}


def saved(data, kind="jpeg"):
    photo = open_photo(data)
    edited = photo.pixels.copy()
    edited[10:20, 10:20] += 5
    return encode_photo(photo, edited, kind=kind, note=NOTE)


def exif_of(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        exif = image.getexif()
        return (
            dict(exif),
            exif.get_ifd(ExifTags.IFD.Exif),
            exif.get_ifd(ExifTags.IFD.GPSInfo),
            exif.get_ifd(1),
        )


def info_of(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.info


def words_of(data):
    info = info_of(data)
    return read_xmp(info.get("xmp") or info["XML:com.adobe.xmp"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
def test_nothing_shows_the_face_as_it_was(source, kind):
    assert SOURCES[source].count(OLD_FACE) >= 2
    found = saved(SOURCES[source], kind)
    assert OLD_FACE not in found
    assert exif_of(found)[3] == {}
    assert not exif_of(found)[1].get(ExifTags.Base.MakerNote)
    assert "gain" not in str(info_of(found)).lower()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
def test_camera_dates_and_place_are_kept_as_they_were(source, kind):
    before, after = exif_of(SOURCES[source]), exif_of(saved(SOURCES[source], kind))
    for tag in (ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.DateTime):
        assert after[0][tag] == before[0][tag]
    inner = (
        "DateTimeOriginal",
        "ExposureTime",
        "LensModel",
        "ExifImageWidth",
        "ColorSpace",
        "SubjectLocation",
    )
    for tag in (ExifTags.Base[name] for name in inner):
        assert after[1][tag] == before[1][tag]
    assert after[2] == before[2]
    assert after[2][2] == (48.0, 51.0, 29.5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
def test_the_profile_and_the_density_are_kept(source, kind):
    info = info_of(saved(SOURCES[source], kind))
    assert info["icc_profile"] == WIDE
    if source != "WEBP" and kind != "webp":
        assert np.allclose(info["dpi"], 300, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
def test_everything_says_that_the_picture_was_edited(source, kind):
    data = saved(SOURCES[source], kind)
    image, *_ = exif_of(data)
    assert (image[ExifTags.Base.Software], image[ExifTags.Base.ImageDescription]) == (SOFTWARE, NOTE)
    assert SOURCE_TYPE.encode() in data
    assert b"compositeWithTrainedAlgorithmicMedia" in data
    assert words_of(data)["dc", "description"] == ("Alt", [NOTE])
    if kind == "png":
        info = info_of(data)
        assert (info["Software"], info["Description"]) == (SOFTWARE, NOTE)
    if kind == "jpeg":
        with Image.open(io.BytesIO(data)) as opened:
            captions = IptcImagePlugin.getiptcinfo(opened)
        assert (captions[2, 40], captions[2, 120]) == (NOTE.encode(), NOTE.encode())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", SOURCES)
def test_the_author_s_own_words_are_kept(source, kind):
    found = words_of(saved(SOURCES[source], kind))
    assert found["dc", "creator"] == ("Seq", ["Ann & Bo"])
    assert found["dc", "rights"] == ("Alt", ["(c) Ann"])
    assert found["xmp", "Rating"] == "4"
    assert found["photoshop", "DateCreated"] == "2024-05-06"


def test_captions_of_a_jpeg_are_kept_and_its_other_resources_are_not():
    with Image.open(io.BytesIO(saved(camera_jpeg()))) as image:
        assert list(image.info["photoshop"]) == [0x0404]
        captions = IptcImagePlugin.getiptcinfo(image)
    assert (captions[2, 80], captions[2, 116]) == (b"Ann", "© Ann".encode())
    assert read_iptc(info_of(saved(camera_jpeg()))["photoshop"])[0] == (80, "Ann")


def test_the_note_gives_way_to_the_user_s_own_words():
    data = saved(camera_jpeg(description="Ann at the sea"))
    image, inner, *_ = exif_of(data)
    assert image[ExifTags.Base.ImageDescription] == "Ann at the sea"
    assert inner[ExifTags.Base.UserComment] == b"ASCII\0\0\0" + NOTE.encode()
    blank = saved(camera_jpeg(description=" " * 31, comment=b"\0" * 40))  # what cameras write for nothing
    assert exif_of(blank)[0][ExifTags.Base.ImageDescription] == NOTE
    both = exif_of(saved(camera_jpeg(description="Ann at the sea", comment=b"sunny")))
    assert both[0][ExifTags.Base.ImageDescription] == "Ann at the sea"
    assert both[1][ExifTags.Base.UserComment] == b"ASCII\0\0\0sunny"
    assert both[0][ExifTags.Base.Software] == SOFTWARE


def test_a_png_s_own_description_is_kept_and_the_note_a_comment():
    texts = chunk(b"tEXt", b"Description\0The sea") + chunk(b"tEXt", b"Author\0Ann")
    plain = encoded(picture(), "PNG")
    info = info_of(saved(plain[:33] + texts + plain[33:], "png"))
    assert [info[key] for key in ("Description", "Author", "Comment")] == ["The sea", "Ann", NOTE]


@pytest.mark.parametrize("kind", KINDS)
def test_words_of_any_script_arrive(kind):
    photo = open_photo(encoded(picture(), "PNG"))
    note = "Lächeln +1 — улыбка 微笑 🙂 <&>"
    data = encode_photo(photo, photo.pixels, kind=kind, note=note)
    assert words_of(data)["dc", "description"] == ("Alt", [note])
    assert note.encode() in data
    if kind == "png":
        assert info_of(data)["Description"] == note


def test_a_photo_with_several_pictures_is_saved_as_one():
    other = Image.fromarray(255 - picture())
    data = encoded(Image.fromarray(picture()), "MPO", save_all=True, append_images=[other], exif=exif_block())
    assert open_photo(data).format == "MPO"
    found = saved(data)
    with Image.open(io.BytesIO(found)) as image:
        assert (image.format, image.n_frames if hasattr(image, "n_frames") else 1) == ("JPEG", 1)
    assert b"MPF" not in found
    assert exif_of(found)[0][ExifTags.Base.Model] == "Model 5"


def test_a_heic_s_words_come_along_upright():
    pytest.importorskip("pillow_heif", reason="writes the file")
    data = heic(
        Image.fromarray(picture()),
        exif=exif_block(orientation=6),
        xmp=XMP.replace(b'tiff:Orientation="3"', b""),
    )
    found = saved(data)
    image, inner, place, thumbnail = exif_of(found)
    assert image[ExifTags.Base.Orientation] == 1
    assert inner[ExifTags.Base.LensModel] == "50mm f/1.8"
    assert place[2] == (48.0, 51.0, 29.5)
    assert thumbnail == {}
    assert OLD_FACE not in found
    assert words_of(found)["dc", "creator"] == ("Seq", ["Ann & Bo"])


def test_a_tiff_s_own_tags_are_its_exif():
    exif = Image.Exif()
    exif.load(exif_block(orientation=6))
    found = exif_of(saved(encoded(picture(), "TIFF", exif=exif), "png"))
    assert found[0][ExifTags.Base.Make] == "Maker"
    assert found[0][ExifTags.Base.Orientation] == 1
    assert found[1][ExifTags.Base.LensModel] == "50mm f/1.8"
    assert (found[1][ExifTags.Base.ExifImageWidth], found[1][ExifTags.Base.ExifImageHeight]) == (48, 64)
    assert ExifTags.Base.SubjectLocation not in found[1]  # it told a place in the picture as it lay
    assert 273 not in found[0]  # StripOffsets


@pytest.mark.parametrize("order", "<>")
def test_values_of_every_type_are_kept_bit_for_bit(order):
    values = {0x829A: (5, 1, bytes(range(8))), 0x9204: (10, 1, b"\xff" * 8), 0x9402: (10, 1, b"12345678")}
    values |= {0x8827: (3, 1, struct.pack(f"{order}H", 400)), 0xA432: (5, 4, bytes(range(32)))}
    table, outside = struct.pack(f"{order}H", len(values)), b""
    free = 26 + 2 + 12 * len(values) + 4
    for tag, (kind, count, value) in sorted(values.items()):
        inline = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", free + len(outside))
        outside += value if len(value) > 4 else b""
        table += struct.pack(f"{order}HHI", tag, kind, count) + inline
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIHHHII", 42, 8, 1, 0x8769, 4, 1, 26)
    block = head + bytes(4) + table + bytes(4) + outside
    assert read_exif(block).exif == values
    again = rebuilt(read_exif(block), note="", software="", orientation=1, size=(64, 48))
    assert again[6:8] == head[:2]
    assert read_exif(again).exif == values


def test_damaged_blocks_give_what_is_whole_and_no_error():
    rng = np.random.default_rng(0)
    block = np.frombuffer(exif_block(description="Ann"), np.uint8)
    for _ in range(200):
        damaged = block.copy()
        damaged[rng.integers(6, len(damaged), 6)] = rng.integers(0, 256, 6)
        found = rebuilt(
            read_exif(damaged.tobytes()), note=NOTE, software=SOFTWARE, orientation=3, size=(64, 48)
        )
        image = Image.Exif()
        image.load(found)
        assert image[ExifTags.Base.Orientation] == 3
    for cut in range(0, len(block), 7):
        read_exif(block[:cut].tobytes())
    for packet in (b"", b"\xff\xfe\0", b"<a", XMP[:400], "<!DOCTYPE a>" + XMP.decode(), None, b"<a/>"):
        assert read_xmp(packet) == {}
    for resources in (None, {}, {0x0404: 3}, {0x0404: b"\x1c\x02"}, {0x0404: b"\x1c\x02\x50\x80\0"}):
        assert read_iptc(resources) == []


def test_words_that_are_too_many_are_left_out():
    long = [("dc", "title"), ("dc", "creator"), ("dc", "rights"), ("dc", "subject")]
    kept = dict.fromkeys(long, ("Bag", ["x" * 1000] * 40))
    packet = fresh_packet(NOTE, kept)
    assert len(packet) < 5000
    assert SOURCE_TYPE in packet
    entries = {tag: (2, 4000, b"x" * 4000) for tag in range(0x9C9B, 0x9CA0)}
    full = read_exif(exif_block())
    full.image.update(entries)
    full.exif.update({tag: (7, 4000, b"x" * 4000) for tag in range(0xA430, 0xA43B)})
    block = rebuilt(full, note=NOTE, software=SOFTWARE, orientation=1, size=(64, 48))
    assert len(block) < 65_000


def test_colours_that_were_converted_are_not_said_to_be_the_file_s():
    cmyk = Image.fromarray(picture()).convert("CMYK")
    found = exif_of(saved(encoded(cmyk, "JPEG", exif=exif_block()), "jpeg"))
    assert ExifTags.Base.ColorSpace not in found[1]
    assert found[0][ExifTags.Base.Make] == "Maker"


def test_a_png_s_chunks_of_colours_are_kept_and_elsewhere_become_a_profile():
    plain = encoded(picture(), "PNG")
    gama = chunk(b"gAMA", struct.pack(">I", 100_000))
    photo = open_photo(plain[:33] + gama + plain[33:])
    png = encode_photo(photo, photo.pixels, kind="png", note="")
    assert gama in png
    assert b"iCCP" not in png
    assert info_of(encode_photo(photo, photo.pixels, kind="jpeg", note=""))["icc_profile"][36:40] == b"acsp"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", SOURCES)
def test_what_can_be_opened_in_spite_of_damage_can_be_saved_or_is_refused_by_name(source):
    rng = np.random.default_rng(3)
    data = np.frombuffer(SOURCES[source], np.uint8)
    for _ in range(60):
        damaged = data.copy()
        damaged[rng.integers(8, len(damaged), 5)] = rng.integers(0, 256, 5)
        try:
            photo = open_photo(damaged.tobytes())
        except ImageInputError:
            continue
        for kind in KINDS:
            found = encode_photo(photo, photo.pixels, kind=kind, note=NOTE)
            assert open_photo(found).pixels.shape == photo.pixels.shape
