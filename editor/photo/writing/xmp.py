"""XMP written afresh: what was done, and of the photo's own words the simple ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from editor.errors import DECODER_ERRORS

SOFTWARE = "CLCAE editor"
# IPTC's term for a picture made or changed by a trained model, read by the tools that label such pictures.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}
# What is kept. Left out is all that may hold or name a picture: thumbnails, gain maps, depth, histories.
_KEPT = {
    "dc": ("title", "creator", "rights", "subject", "description"),
    "photoshop": (
        *("DateCreated", "Headline", "Credit", "Source", "AuthorsPosition", "CaptionWriter"),
        *("City", "State", "Country"),
    ),
    "xmp": ("CreateDate", "Rating", "Label"),
    "xmpRights": ("Marked", "WebStatement", "UsageTerms", "Owner"),
    "Iptc4xmpCore": ("Location", "CountryCode"),
}
_MAX_TEXT, _MAX_ITEMS, _MAX_SOURCE = 1000, 40, 1 << 20
_MAX_ALL = 60_000  # bytes; a JPEG's segment holds 65,504

Words = str | tuple[str, list[str]]  # a text, or the kind of a list (Alt, Seq, Bag) and its texts
Properties = dict[tuple[str, str], Words]  # {(prefix, name): words}


def read_xmp(packet: bytes | str | None) -> Properties:
    """The simple properties of a photo's XMP that are kept.

    Args:
        packet: The photo's packet; None for none.

    Returns:
        Empty where there are none, or the packet is damaged, or declares entities, which no XMP does.
    """
    try:
        text = packet.decode() if isinstance(packet, bytes) else packet or ""
        if len(text) > _MAX_SOURCE or "<!DOCTYPE" in text:
            return {}
        root = ElementTree.fromstring(text.strip("\0 \n\r\t\ufeff"))  # noqa: S314
    except (ElementTree.ParseError, *DECODER_ERRORS):
        return {}
    known = {
        f"{{{_NAMESPACES[prefix]}}}{name}": (prefix, name)
        for prefix, names in _KEPT.items()
        for name in names
    }
    found: Properties = {}
    for tag, words in _properties(root):
        if tag in known and words:
            found.setdefault(known[tag], words)
    return found


def fresh_packet(note: str, kept: Properties | None = None) -> str:
    """An XMP packet that says that a trained model changed the picture.

    Args:
        note: What was done, in one line; the description, unless `kept` has one, and the instructions.
        kept: What `read_xmp` gave.

    Returns:
        The packet, at most 64 kB.
    """
    own: Properties = {
        ("xmp", "CreatorTool"): SOFTWARE,
        ("photoshop", "Instructions"): note,
        ("Iptc4xmpExt", "DigitalSourceType"): SOURCE_TYPE,
    }
    described: Properties = {("dc", "description"): ("Alt", [note])}
    packet = _packet(described | (kept or {}) | own)
    return packet if len(packet.encode()) <= _MAX_ALL else _packet(described | own)


def _properties(root: ElementTree.Element) -> Iterator[tuple[str, Words | None]]:
    for rdf in (root, *root.findall(f"{{{_RDF}}}RDF")):
        for description in rdf.findall(f"{{{_RDF}}}Description"):
            for tag, text in description.attrib.items():
                yield tag, _clean(text)
            for element in description:
                yield element.tag, _words(element)


def _words(element: ElementTree.Element) -> Words | None:
    if not len(element):
        return _clean(element.text)
    kind = element[0].tag.removeprefix(f"{{{_RDF}}}")
    items = list(element[0])
    if len(element) > 1 or kind not in ("Alt", "Seq", "Bag") or any(len(item) for item in items):
        return None
    texts = [text for item in items[:_MAX_ITEMS] if (text := _clean(item.text))]
    return (kind, texts) if texts else None


def _clean(text: str | None) -> str | None:
    text = (text or "").strip()
    return text if 0 < len(text) <= _MAX_TEXT else None


def _packet(properties: Mapping[tuple[str, str], Words]) -> str:
    prefixes = sorted({prefix for prefix, _ in properties})
    names = "".join(f' xmlns:{prefix}="{_NAMESPACES[prefix]}"' for prefix in prefixes)
    body = "".join(_element(f"{prefix}:{name}", words) for (prefix, name), words in properties.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        f'<rdf:Description rdf:about=""{names}>{body}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )


def _element(name: str, words: Words) -> str:
    if isinstance(words, str):
        return f"<{name}>{_escaped(words)}</{name}>"
    kind, texts = words
    # Of the languages of a text only the first is named: which they were, is not kept.
    default = ' xml:lang="x-default"' if kind == "Alt" else ""
    items = "".join(
        f"<rdf:li{default}>{_escaped(text)}</rdf:li>" for text in (texts[:1] if default else texts)
    )
    return f"<{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>"


def _escaped(text: str) -> str:
    return escape("".join(sign for sign in text if sign.isprintable() or sign in "\n\t"))
