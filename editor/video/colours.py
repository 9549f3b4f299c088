"""Colours: what a clip's pixel format and colour tags say, and its frames as they are edited."""

from dataclasses import dataclass

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from editor.errors import VideoError
from editor.photo.colour import Pixels
from editor.video.planes import Coding, Samples

_LIMITED, _FULL = 1, 2  # of AVColorRange
_RGB, _BT709, _UNSAID, _BT601 = 0, 1, 2, 6  # MatrixCoefficients of ITU-T H.273, which AVColorSpace follows
_WEIGHTS = {  # MatrixCoefficients -> K_R and K_B: H.273, table 4
    _BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    _BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_SWSCALE = {_BT601: 5}  # names of swscale, where they are others
_HD_WIDTH, _HD_HEIGHT = 1280, 720  # px from which players take BT.709 where nothing is said
# Edited and encoded as they are: name -> pixels per chroma sample in a row and in a column, bits.
_NATIVE = {
    "yuv420p": (2, 2, 8),
    "yuv422p": (2, 1, 8),
    "yuv444p": (1, 1, 8),
    "yuvj420p": (2, 2, 8),
    "yuvj422p": (2, 1, 8),
    "yuvj444p": (1, 1, 8),
    "yuv420p10le": (2, 2, 10),
    "yuv422p10le": (2, 1, 10),
    "yuv444p10le": (1, 1, 10),
}
# SWS_BILINEAR, SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT (PyAV 17 has no names for them): chroma is interpolated,
# and every step rounded; swscale of itself is up to two levels too dark.
_EXACT = 0x2 | 0x40000 | 0x2000


@dataclass(frozen=True)
class Tags:
    """Numbers of H.273 as FFmpeg has them; 2, of the range 0, where a clip does not say."""

    matrix: int
    range: int
    primaries: int
    transfer: int


class Colours:
    """How the frames of a clip come, and how they are edited and written.

    Args:
        frame: The first, as decoded.
        called: What to call the clip in a message.

    Raises:
        VideoError: Colours of a kind that is not known here.
    """

    def __init__(self, frame: VideoFrame, called: str) -> None:
        width, height = frame.width, frame.height
        matrix = frame.colorspace
        self.tags = Tags(matrix, frame.color_range, frame.color_primaries, frame.color_trc)
        guessed = _BT709 if width >= _HD_WIDTH or height >= _HD_HEIGHT else _BT601
        if frame.format.is_rgb or matrix == _RGB:
            self.tags = Tags(guessed, _LIMITED, self.tags.primaries, self.tags.transfer)
        matrix = guessed if matrix in (_RGB, _UNSAID) else matrix
        if matrix not in _WEIGHTS:
            known = ", ".join(map(str, sorted(_WEIGHTS)))
            raise VideoError(f"{called} has the colour matrix {matrix} of ITU-T H.273; allowed are {known}")
        self.source, self.format = frame.format.name, _nearest(frame.format, width, height)
        across, down, bits = _NATIVE[self.format]
        full = self.tags.range == _FULL or self.format.startswith("yuvj")
        self.coding = Coding(*_WEIGHTS[matrix], full=full, bits=bits, across=across, down=down)
        self._range = _FULL if full else _LIMITED
        self._matrix = _SWSCALE.get(matrix, matrix)
        self._reformatter = VideoReformatter()

    @property
    def note(self) -> str | None:
        """What a person should know of it."""
        if self.source != self.format:
            return f"frames were converted from {self.source} to {self.format}, which H.264 has"
        if (self.coding.across, self.coding.down, self.coding.bits) != (2, 2, 8):
            return f"written as H.264 of {self.format}, as the clip is; not every player shows that"
        return None

    def prepared(self, frame: VideoFrame) -> VideoFrame:
        """A decoded frame in the format that is edited: itself, where it comes in that."""
        if self.source == self.format:
            return frame
        return self._reformatter.reformat(
            frame,
            format=self.format,
            dst_colorspace=self._matrix,
            dst_color_range=self._range,
            interpolation=_EXACT,
        )

    def rgb(self, frame: VideoFrame) -> Pixels:
        """The pixels [H, W, 3] uint8 of a prepared frame, as it lies in the file."""
        drawn = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=self._matrix,
            src_color_range=self._range,
            dst_color_range=_FULL,
            interpolation=_EXACT,
        )
        return np.asarray(drawn.to_ndarray(), np.uint8)

    def planes(self, frame: VideoFrame) -> list[Samples]:
        """Y, Cb and Cr of a prepared frame, to be changed in place."""
        frame.make_writable()  # the decoder still looks back at the others
        kind = np.uint8 if self.coding.bits == 8 else np.uint16
        found = []
        for plane in frame.planes:
            rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
            found.append(rows[:, : plane.width])
        return found


def _nearest(found: VideoFormat, width: int, height: int) -> str:
    """The format, or one that H.264 has and which loses the least of it; chroma in pairs needs even sides."""
    across, down = round(64 / found.chroma_width(64)), round(64 / found.chroma_height(64))
    if len(found.components) < 3:
        across, down = 2, 2  # grey, to which the fewest samples of no colour are added
    if found.is_rgb or width % across or height % down:
        across, down = 1, 1
    deep = "10le" if max(part.bits for part in found.components) > 8 else ""
    kind = {(2, 2): "yuv420p", (2, 1): "yuv422p"}.get((across, down), "yuv444p") + deep
    return found.name if _NATIVE.get(found.name, ())[:2] == (across, down) else kind
