"""The parts that the face parser tells apart."""

from enum import IntEnum


class Part(IntEnum):
    """What a pixel of a cropped face shows."""

    BACKGROUND = 0
    SKIN = 1
    NOSE = 2
    GLASSES = 3
    EYES = 4
    BROWS = 5
    EARS = 6
    MOUTH = 7  # what is seen of its inside
    UPPER_LIP = 8
    LOWER_LIP = 9
    HAIR = 10
    HAT = 11
    EARRING = 12
    NECKLACE = 13
    NECK = 14
    CLOTHES = 15


# What belongs to a head and moves with it. The neck too: an older face on a young neck is seen at once.
HEAD = tuple(part for part in Part if part not in (Part.BACKGROUND, Part.CLOTHES, Part.NECKLACE))
