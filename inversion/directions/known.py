"""Direction files that many projects ship, told by their content: what their makers call what is in them."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class KnownEdit:
    """One edit of a known file."""

    name: str
    label: str
    group: str
    component: int = 0  # of a file of components, from 0
    layers: tuple[int, int] | None = None  # first, and one past the last; None for all
    published: float | None = None  # strength that the edit was published with; None where there is none


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """A file of the e4e (arXiv:2102.02766) and PTI (arXiv:2106.05744) projects and their relatives."""

    title: str
    img_resolution: int  # of the generator that it was made for, pixels a side
    edits: tuple[KnownEdit, ...]  # empty: components that nobody named


def _face(name: str, label: str, group: str) -> KnownFile:
    edit = KnownEdit(name=name, label=label, group=group)
    return KnownFile(title=f"{name} of FFHQ faces", img_resolution=1024, edits=(edit,))


def _component(
    name: str, label: str, group: str, component: int, first: int, end: int, published: float
) -> KnownEdit:
    return KnownEdit(
        name=name, label=label, group=group, component=component, layers=(first, end), published=published
    )


# By the first twelve digits of the file's sha256, which are the same in every repository that ships it.
KNOWN_FILES = MappingProxyType(
    {
        "50074516b162": _face("age", "Age", "Person"),
        "817a7e732b59": _face("smile", "Smile", "Expression"),
        # One direction, of which `pose.pt` has a copy a layer.
        "9ef9787ac6b7": _face("rotation", "Turn", "Pose and light"),
        "736e0eacc848": _face("pose", "Turn", "Pose and light"),
        "4d7f9df1c961": KnownFile(
            title="components of FFHQ faces",
            img_resolution=1024,
            edits=(
                _component("eyes", "Eyes", "Expression", 54, 7, 8, 20),
                _component("beard", "Beard", "Person", 58, 7, 9, 20),
                _component("lip", "Lip", "Expression", 34, 10, 11, 20),
                _component("white_hair", "White hair", "Person", 57, 7, 10, -24),
            ),
        ),
        "a5c3bae61ecd": KnownFile(
            title="components of cars",
            img_resolution=512,
            edits=(
                _component("viewpoint", "Viewpoint", "Car", 0, 0, 5, 2),
                _component("cube", "Cube", "Car", 16, 3, 6, 25),
                _component("color", "Color", "Car", 22, 9, 11, -27),
                _component("grass", "Grass", "Surroundings", 41, 9, 11, -18),
            ),
        ),
    }
)
# By file name, less its ending: its content is pinned nowhere, and none of its components has a name.
KNOWN_BY_NAME = MappingProxyType(
    {"church_pca": KnownFile(title="components of churches", img_resolution=256, edits=())}
)
