"""What is kept of a clip's text tags, and what is said of the edit."""

from collections.abc import Mapping

# What the file says of itself, which is another file now.
_OF_THE_FILE = {
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "vendor_id",
    "duration",
    "number_of_frames",
    "number_of_bytes",
    "bps",
    "rotate",
}
_COMMENT = "comment"


def kept_tags(tags: Mapping[str, str], note: str = "") -> dict[str, str]:
    """Title, date, place, camera, author, rights, language and all else that is text; pictures are none.

    Args:
        tags: Of a file or of one of its streams.
        note: What was done, in one line; follows the comment that there was.
    """
    kept = {name: text for name, text in tags.items() if name.lower().split("-")[0] not in _OF_THE_FILE}
    if note:
        before = next((kept.pop(name) for name in list(kept) if name.lower() == _COMMENT), "")
        kept[_COMMENT] = f"{before}; {note}" if before else note
    return kept
