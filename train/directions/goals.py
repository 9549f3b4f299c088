"""What edits shall do, and what they shall leave alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from editor.parts.labels import Part
from inversion.directions.zones import ZONES, zone_shares
from train.directions.fit import Array
from train.directions.learn import Wanted

PIXELS = 8.0  # what a change of the whole range counts in a part that is to stay
FACE = (
    Part.SKIN,
    Part.NOSE,
    Part.EYES,
    Part.BROWS,
    Part.MOUTH,
    Part.UPPER_LIP,
    Part.LOWER_LIP,
    Part.GLASSES,
)
WHOLE_FACE = {zone: 1.0 for zone in ZONES if zone != "around"}
# Measured only to be held: no slider may change the colour of a person's skin.
CONTROLS = ("brightness", "redness", "yellowness")
HELD = {**dict.fromkeys(CONTROLS, 2.0), "contrast": 1.5, "masculine": 2.0}  # count so much more than others


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One slider: what it changes, and what may go with it."""

    attribute: str  # what it is about, and what its strength is measured by
    label: str
    group: str
    low: str
    high: str
    aliases: tuple[str, ...] = ()  # names that the edit had before
    unit: str = ""  # of the strength; empty: standard deviations of the attribute
    unit_size: float = 1.0  # of them, that are as large a step as one deviation elsewhere
    # Further measures that shall change, in deviations for each of the attribute's own.
    along: Mapping[str, float] = field(default_factory=dict)
    spare: Mapping[str, float] = field(default_factory=dict)  # measures that count otherwise than 1
    person: float = 3.0  # how much it counts who a face is
    # How much a change of the picture counts: in the face, the hair, behind the head, on neck and clothes.
    face: float = 0.0
    hair: float = 1.0
    behind: float = 1.0
    body: float = 1.0
    free: tuple[Part, ...] = ()  # parts of the face that may change all the same
    # Whether it is untangled: what is there or not does not change in proportion, and mixtures make it worse.
    mixed: bool = True
    # Deviations beyond which no slider goes, whatever is measured: what eyes see and networks do not.
    ends: tuple[float, float] = (-3.0, 3.0)
    zones: Mapping[str, float] = field(default_factory=dict)  # see `EditDirection.zones`
    reach: float = 2.0  # standard deviations, or as many times `unit_size`, that it is learned up to


EDITS = {
    "smile": Goal(
        attribute="smile", label="Smile", group="Expression", low="serious", high="smiling",
        spare={"happy": 0, "teeth": 2, "pitch": 3, "contrast": 4, "brows": 2, "beard": 3},
        person=5.0, face=0.1,
        zones={"mouth": 1, "lower": 1, "face": 0.4, "eyes": 0.3},
    ),
    "grin": Goal(
        attribute="teeth", label="Grin", group="Expression", low="lips closed", high="teeth",
        along={"smile": 0.7}, spare={"happy": 0, "eyes_open": 2, "pitch": 2, "lips": 1.5, "beard": 3},
        person=5.0, face=0.1,
        zones={"mouth": 1, "lower": 1, "face": 0.3},
    ),
    "mouth": Goal(
        attribute="mouth_open", label="Mouth", group="Expression", low="closed", high="open",
        aliases=("mouth_open",), spare={"teeth": 0.4, "happy": 1, "lips": 2, "face_width": 2, "beard": 2},
        person=5.0, face=0.1,
        ends=(-1.25, 3.0),  # farther closed, an upper lip becomes a moustache
        zones={"mouth": 1, "lower": 1},
    ),
    "eyes": Goal(
        attribute="eyes_open", label="Eyes", group="Expression", low="narrow", high="wide", face=0.3,
        zones={"eyes": 1, "brows": 0.5},
    ),
    "gaze": Goal(
        attribute="gaze", label="Gaze", group="Expression", low="to the left", high="to the right",
        spare={"yaw": 4, "light": 2}, face=0.5, free=(Part.EYES,), zones={"eyes": 1},
    ),
    "brows": Goal(
        attribute="brows", label="Brows", group="Expression", low="low", high="raised", face=0.3,
        zones={"brows": 1, "eyes": 0.5, "face": 0.2},
    ),
    "age": Goal(
        attribute="age", label="Age", group="Person", low="younger", high="older", unit="years", unit_size=10,
        spare={"masculine": 8, "glasses": 2, "smile": 2, "contrast": 1, "hair_colour": 0.2, "weight": 0.5,
               "lips": 1.5, "long_hair": 0.5, "brows": 0.5, "eyes_open": 0.5, "hair": 0.5},
        person=1.5, hair=0.3, face=0.1, zones={**WHOLE_FACE, "around": 0.5},
    ),
    "gender": Goal(
        attribute="masculine", label="Gender", group="Person", low="feminine", high="masculine",
        spare={"long_hair": 0.1, "hair": 0.1, "beard": 0.1, "lips": 0.1, "brows": 0.2, "earrings": 0.3,
               "face_width": 0.5, "weight": 0.7, "contrast": 0.7, "age": 5, "hat": 2, "glasses": 2},
        person=2.0, hair=0.1, reach=1.7, mixed=False, zones={**WHOLE_FACE, "around": 0.6},
    ),
    "width": Goal(
        attribute="face_width", label="Face width", group="Person", low="narrow", high="wide",
        spare={"weight": 0.2, "mouth_open": 2, "pitch": 2}, person=2.0, hair=0.2,
        zones={"lower": 1, "face": 0.7, "around": 0.7, "mouth": 0.3},
    ),
    "glasses": Goal(
        attribute="glasses", label="Glasses", group="Style", low="without", high="as they are",
        spare={"brows": 0.3, "hat": 3, "age": 2}, person=1.0, face=0.1, mixed=False,
        zones={"eyes": 1, "brows": 1, "face": 1, "lower": 0.7},
        ends=(-1.2, 0.0),  # what it puts on is half a pair
    ),
    "beard": Goal(
        attribute="beard", label="Beard", group="Style", low="shaven", high="bearded",
        spare={"masculine": 0.6, "brightness": 0.5}, person=1.5, face=0.1,
        zones={"lower": 1, "mouth": 1, "face": 0.3},
    ),
    "hair": Goal(
        attribute="long_hair", label="Hair", group="Style", low="short", high="long",
        spare={"hair": 0, "hat": 3, "redness": 3, "lips": 2}, person=2.0, hair=0.0, face=0.5,
        zones={"around": 1},
    ),
    "hair_colour": Goal(
        attribute="hair_colour", label="Hair colour", group="Style", low="lighter", high="darker",
        person=2.0, hair=0.0, face=0.5, zones={"around": 1, "brows": 0.3},
    ),
    "lips": Goal(
        attribute="lips", label="Lips", group="Style", low="pale", high="red", spare={"masculine": 0.5},
        person=2.0, face=0.2, free=(Part.UPPER_LIP, Part.LOWER_LIP), zones={"mouth": 1},
    ),
    "turn": Goal(
        attribute="yaw", label="Turn", group="Pose and light", low="to the left", high="to the right",
        aliases=("yaw",), unit="degrees", unit_size=10,
        spare={"gaze": 0.1, "light": 2, "lips": 6, "contrast": 2}, person=6.0, hair=0.1, behind=0.5, body=0.2,
        ends=(-1.2, 1.2),  # farther, blotches come with the profile
    ),
    "nod": Goal(
        attribute="pitch", label="Nod", group="Pose and light", low="down", high="up", unit="degrees",
        unit_size=7, spare={"gaze": 0.3, "light": 0.5, "brows": 0.5, "face_width": 0.5},
        person=1.5, hair=0.1, behind=0.5, body=0.2,
    ),
    "light": Goal(
        attribute="light", label="Light", group="Pose and light", low="from the left", high="from the right",
        aliases=("lighting",), person=5.0, hair=0.1, behind=0.5, body=0.2,
    ),
    "contrast": Goal(
        attribute="contrast", label="Shade", group="Pose and light", low="soft light", high="hard light",
        person=5.0, hair=0.3, behind=0.5, body=0.5,
    ),
}  # fmt: skip


def wanted(goal: Goal, names: Sequence[str], spread: Array) -> Wanted:
    """The goal, by measures.

    Args:
        goal: The goal.
        names: Of the measures [K].
        spread: Their standard deviations [K].
    """
    own = names.index(goal.attribute)
    step = goal.unit_size / float(spread[own]) if goal.unit else 1.0  # deviations a unit
    change, weight = torch.zeros(len(names)), torch.ones(len(names))
    for name, value in {goal.attribute: 1.0, **goal.along}.items():
        change[names.index(name)] = step * value
    for name, value in {**HELD, **goal.spare}.items():
        if name in names:
            weight[names.index(name)] = value
    counts = dict.fromkeys(Part, goal.body)
    counts[Part.BACKGROUND] = goal.behind
    counts |= {Part.HAIR: goal.hair, Part.HAT: goal.hair, Part.EARS: goal.hair / 2, Part.NECK: goal.body / 2}
    counts |= {part: goal.face for part in FACE}
    counts |= dict.fromkeys(goal.free, 0.0)
    held = PIXELS * torch.tensor([counts[part] for part in Part])
    return Wanted(
        change=change,
        weight=weight,
        identity=goal.person,
        held=held,
        zones=zone_shares(goal.zones) if goal.zones else None,
        reach=goal.reach,
    )
