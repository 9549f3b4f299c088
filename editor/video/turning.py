"""How a clip is turned when it is shown: display matrices as EXIF orientations."""

from collections.abc import Sequence

# Signs of (a, b, c, d), where a pixel (x, y) of the file is shown at (a x + c y, b x + d y) plus what brings
# the picture back into view -> the EXIF orientation that says the same.
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}


def orientation_of_matrix(matrix: Sequence[int] | None) -> int:
    """The EXIF orientation 1..8 of a display matrix.

    Args:
        matrix: Nine numbers as FFmpeg has them, row by row (a, b, u, c, d, v, x, y, w); None for none.

    Returns:
        1 too where the matrix leans or squeezes the picture: such a clip is looked at as it lies in the file.
    """
    if matrix is None:
        return 1
    a, b, _, c, d, *_ = matrix
    largest = max(abs(a), abs(b), abs(c), abs(d)) or 1
    a, b, c, d = (round(value / largest) for value in (a, b, c, d))
    return _ORIENTATIONS.get((a, b, c, d), 1)


def box_in_file(
    left: int, top: int, width: int, height: int, orientation: int, size: tuple[int, int]
) -> tuple[int, int]:
    """Where a box of the upright picture begins in the picture as it lies in the file.

    Args:
        left: First column of the box, upright.
        top: First row.
        width: Of the box, upright.
        height: And its height.
        orientation: EXIF, 1..8.
        size: Width and height of the picture in the file.

    Returns:
        Its first column and row there.
    """
    if orientation >= 5:
        left, top, width, height = top, left, height, width
    if orientation in (2, 3, 7, 8):
        left = size[0] - left - width
    if orientation in (3, 4, 6, 7):
        top = size[1] - top - height
    return left, top
