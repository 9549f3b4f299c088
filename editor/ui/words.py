"""What sliders say of themselves, and where they stop."""

import math

from inversion.directions.linear import EditDirection

LEAST, MOST = 0.1, 3  # standard deviations from which a side effect is told, and how many of them are
# Attributes for people. What is left out says the same as another, or is no matter of looks.
WORDS = {
    "smile": "smile",
    "mouth_open": "open mouth",
    "eyes_open": "open eyes",
    "gaze": "gaze",
    "brows": "raised brows",
    "face_width": "wide face",
    "yaw": "turn",
    "pitch": "nod",
    "light": "light from the right",
    "brightness": "brightness",
    "contrast": "hard light",
    "beard": "beard",
    "lips": "red lips",
    "age": "age",
    "masculine": "masculine",
    "glasses": "glasses",
    "hat": "hat",
    "earrings": "earrings",
    "weight": "weight",
    "long_hair": "long hair",
    "hair_colour": "dark hair",
    "teeth": "teeth",
}


def slider_step(direction: EditDirection) -> float:
    """How far one key press moves a slider."""
    return 1 if direction.unit else 0.05


def slider_ends(direction: EditDirection) -> tuple[float, float]:
    """The ends of an edit's slider: whole steps from 0, which browsers count from the lower end."""
    step = slider_step(direction)
    low, high = (math.trunc(round(end / step, 6)) for end in direction.range)
    return round(low * step, 2), round(high * step, 2)


def slider_words(direction: EditDirection) -> str:
    """What the ends of a slider do, and what else it was measured to change, a deviation."""
    also = side_effects(direction)
    told = "" if not also else " · also: " + ", ".join(f"{name} {change:+.1f}" for name, change in also)
    return f"{direction.low} ↔ {direction.high}{told}"


def side_effects(direction: EditDirection, *, own: bool = False) -> list[tuple[str, float]]:
    """The largest measured side effects of an edit, by their words; empty where nobody measured.

    Args:
        direction: The edit.
        own: What it is about is told too.
    """
    if direction.attribute is None:
        return []
    others = {
        WORDS[name]: change
        for name, change in direction.effects.items()
        if (own or name != direction.attribute) and name in WORDS and abs(change) >= LEAST
    }
    return sorted(others.items(), key=lambda item: -abs(item[1]))[:MOST]
