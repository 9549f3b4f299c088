"""Recipe: the edits of a photo as a small text, from which they can be done again."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from editor.edit_stage import EditStage, FaceEdit
from editor.errors import RecipeError
from editor.face.box import PhotoBox
from editor.face.search import MAX_FACES
from editor.photo_editing import as_new_base, choose_box, choose_face
from editor.photo_session import VIEW_PIXELS, PhotoSession
from editor.pipeline import Editor
from editor.session import EditSession
from inversion.directions.errors import StrengthError
from inversion.optimise.inversion import MAX_STEPS
from inversion.optimise.search import Tell

FORMAT, VERSION = "face edit", 1
MAX_RECIPE = 100_000  # characters
MOST_STAGES = 20
_MOST_EDITS, _MOST_RUNS = 200, 20  # of a face


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The edits of a photo, and the model that they were made with."""

    model: str  # sha256 of the generator's file
    stages: tuple[
        EditStage, ...
    ]  # at least one; each but the first edits the picture that the one before left

    @property
    def faces(self) -> Mapping[int, FaceEdit]:
        """Of the last stage."""
        return self.stages[-1].faces

    @property
    def chosen(self) -> int:
        """Of the last stage."""
        return self.stages[-1].chosen

    @property
    def box(self) -> PhotoBox | None:
        """That the first stage draws on the photo; None where it edits faces."""
        return self.stages[0].box

    def to_json(self) -> str:
        """As it is saved."""
        told = {"format": FORMAT, "version": VERSION, "model": self.model}
        *earlier, last = map(_told, self.stages)
        return json.dumps({**told, **last, **({"earlier": earlier} if earlier else {})}, indent=2) + "\n"


def _told(stage: EditStage) -> dict[str, Any]:
    faces = {
        str(number): {"space": each.space, "steps": list(each.steps), "strengths": dict(each.strengths)}
        for number, each in sorted(stage.faces.items())
    }
    box = {} if stage.box is None else {"box": [stage.box.left, stage.box.top, stage.box.width]}
    return {"chosen": stage.chosen, **box, "faces": faces}


def recipe_of(editor: Editor, opened: PhotoSession) -> Recipe:
    """The edits that a photo has, and had before its picture became a photo of its own."""
    return Recipe(model=editor.sha256, stages=(*opened.earlier, opened.stage))


def read_recipe(text: str) -> Recipe:
    """A recipe from its JSON.

    Raises:
        RecipeError: It is none, or of a later version.
    """
    if len(text) > MAX_RECIPE:
        raise RecipeError(f"edit: {len(text):,} characters; at most {MAX_RECIPE:,} are read")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise RecipeError("edit: no JSON; must be a file that the app saved as an edit") from None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise RecipeError(f'edit: its format is not "{FORMAT}"; must be a file that the app saved as an edit')
    if told.get("version") != VERSION:
        raise RecipeError(f"edit: its version is not {VERSION}, the one that is known")
    model, earlier = told.get("model"), told.get("earlier", [])
    if not isinstance(model, str) or not isinstance(earlier, list) or len(earlier) >= MOST_STAGES:
        raise RecipeError(f"edit: must name a model, and at most {MOST_STAGES} stages")
    return Recipe(model=model, stages=tuple(map(_stage, [*earlier, told])))


def _stage(told: object) -> EditStage:
    told = told if isinstance(told, dict) else {}
    faces, chosen = told.get("faces"), told.get("chosen")
    if not isinstance(faces, dict) or not 1 <= len(faces) <= MAX_FACES:
        raise RecipeError(f"edit: must name edits of 1 to {MAX_FACES} faces")
    read = {_number(key): _face_edit(key, value) for key, value in faces.items()}
    if chosen not in read:
        raise RecipeError("edit: the chosen face is none of those that it edits")
    box = _box(told["box"]) if "box" in told else None
    if box is not None and set(read) != {1}:
        raise RecipeError("edit: a box is one face, number 1, and it names others")
    return EditStage(faces=read, chosen=int(chosen), box=box)


def _box(told: object) -> PhotoBox:
    if not isinstance(told, list) or len(told) != 3 or any(type(value) is not int for value in told):
        raise RecipeError("edit: its box must be left, top and width in whole px")
    return PhotoBox(*told)


def load_recipe(path: str | Path) -> Recipe:
    """A recipe from its file; raises as `read_recipe`, also where it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"edit: {path} cannot be read ({error})") from error
    return read_recipe(text)


def repeat(
    editor: Editor,
    opened: PhotoSession,
    recipe: Recipe,
    progress: Tell | None = None,
    *,
    optimise: bool = True,
) -> PhotoSession:
    """Do to a photo what the recipe says, and nothing else.

    Args:
        editor: Of the model that the recipe was made with.
        opened: The photo; its sessions are gone on with where the recipe's steps allow.
        recipe: The edits.
        progress: See `Editor.optimise`.
        optimise: Whether the recipe's optimisations may be run, which take minutes.

    Raises:
        RecipeError: It was made with another model, or has optimisations that may not be run.
        FaceError: The photo has no such face, or one that cannot be edited.
        BoxError: The photo does not hold the recipe's box.
        DirectionError: An edit or a space that there is none of.
        StrengthError: A strength beyond its range.
    """
    if recipe.model != editor.sha256:
        raise RecipeError("edit: it was made with another model; open that one first")
    *earlier, last = recipe.stages
    if opened.earlier != tuple(earlier):
        if opened.earlier:
            raise RecipeError("edit: it begins with another photo than the picture that is on show")
        for stage in earlier:
            opened = as_new_base(editor, _done(editor, opened, stage, progress, optimise=optimise))
    return _done(editor, opened, last, progress, optimise=optimise)


def _done(
    editor: Editor, opened: PhotoSession, stage: EditStage, progress: Tell | None, *, optimise: bool
) -> PhotoSession:
    opened = _boxed(editor, opened, stage.box)
    sessions = {number: replace(each, strengths={}) for number, each in opened.sessions.items()}
    for number, wanted in stage.faces.items():
        if wanted.steps and not optimise and not _is_at(opened.sessions.get(number), wanted.steps):
            given = ", then ".join(map(str, wanted.steps))
            raise RecipeError(
                f"edit: face {number} was optimised ({given} steps) before; do that first, or use "
                "`python -m editor --edit`"
            )
        session = _at(editor, opened, number, wanted.steps, progress)
        session = editor.enter(replace(session, own=opened.session.own), wanted.space)
        sessions[number] = editor.edit(session, wanted.strengths)
    done = replace(opened, sessions=sessions, chosen=stage.chosen, base=None)
    return done if done.photo is None else choose_face(editor, done, stage.chosen)


def _boxed(editor: Editor, opened: PhotoSession, box: PhotoBox | None) -> PhotoSession:
    """The photo with the box of a stage, and not with another."""
    if box is not None:
        return choose_box(editor, opened, box)
    if opened.photo is not None and opened.photo.box is not None:
        raise RecipeError("edit: it is of faces; this photo is edited in a box")
    return opened


def _at(
    editor: Editor, opened: PhotoSession, number: int, steps: tuple[int, ...], progress: Tell | None
) -> EditSession:
    """A face's session after these optimisations of the encoder's answer."""
    session = opened.sessions.get(number)
    if session is not None and _is_at(session, steps):
        return session
    if opened.photo is None:
        raise RecipeError(f"edit: face {number} was optimised otherwise; this picture has no such state")
    session = editor.invert(opened.photo, number)
    for each in steps:
        session = editor.optimise(session, each, progress)
    return session


def _is_at(session: EditSession | None, steps: tuple[int, ...]) -> bool:
    return session is not None and session.optimised == steps


def as_command(recipe: Recipe, photo: str, out: str, file: str) -> str:
    """What to type in a shell to do the same.

    Args:
        recipe: The edits.
        photo: Name of the photo's file.
        out: Name of the file to write.
        file: Name of the recipe's file, for what flags do not say.
    """
    words = ["python", "-m", "editor", photo]
    box = recipe.stages[-1].box
    drawn = [] if box is None else ["--box", f"{box.left},{box.top},{box.width}"]
    ways = {(each.space, each.steps) for each in recipe.faces.values()}
    if len(recipe.stages) > 1 or len(ways) > 1 or any(len(steps) > 1 for _, steps in ways):
        return shlex.join([*words, "--edit", file, "--out", out])
    words += drawn
    ((space, steps),) = ways
    last = (recipe.chosen, recipe.faces[recipe.chosen])
    for number, each in [*((n, e) for n, e in recipe.faces.items() if n != recipe.chosen), last]:
        words += [] if drawn else ["--face", str(number)]
        for name, value in each.strengths.items():
            words += ["--set", f"{name}={value:g}"]
    words += ["--space", space, *(["--steps", str(steps[0])] if steps else []), "--out", out]
    return shlex.join(words)


def as_python(photo: str, out: str, file: str) -> str:
    """What to run in Python to do the same; arguments as `as_command`."""
    return f"""from editor.photo_editing import save, start
from editor.pipeline import open_editor
from editor.recipe import load_recipe, repeat

editor, recipe = open_editor(), load_recipe({file!r})
# As large as the app looks at.
photo = editor.open_photo({photo!r}, most_pixels={VIEW_PIXELS}, box=recipe.box)
opened = repeat(editor, start(editor, photo, photo.first), recipe)
save(editor, opened, {out!r})
editor.detector.close()
"""


def parse_edits(texts: Sequence[str]) -> dict[str, float]:
    """["smile=1"] -> {"smile": 1.0}.

    Raises:
        StrengthError: Not of the form NAME=NUMBER.
    """
    edits = {}
    for text in texts:
        name, separator, number = text.partition("=")
        try:
            edits[name.strip()] = float(number)
        except ValueError:
            raise StrengthError(f"--set {text!r}: must be NAME=NUMBER, for example smile=1") from None
        if not separator:
            raise StrengthError(f"--set {text!r}: must be NAME=NUMBER, for example smile=1")
    return edits


def _number(key: object) -> int:
    if isinstance(key, str) and key.isdecimal() and len(key) < 4 and int(key) >= 1:
        return int(key)
    raise RecipeError("edit: a face's number must be whole, from 1")


def _face_edit(number: str, told: object) -> FaceEdit:
    told = told if isinstance(told, dict) else {}
    strengths, space, steps = told.get("strengths"), told.get("space"), told.get("steps", [])
    values: Mapping[str, Any] = strengths if isinstance(strengths, dict) else {"": None}
    if len(values) > _MOST_EDITS or not all(map(_is_number, values.values())):
        raise RecipeError(f"edit: the strengths of face {number} must be numbers by name")
    if space not in ("w", "w+", "f"):
        raise RecipeError(f"edit: the space of face {number} must be w, w+ or f")
    if not isinstance(steps, list) or len(steps) > _MOST_RUNS or not all(map(_is_steps, steps)):
        words = f"at most {_MOST_RUNS} whole numbers from 1 to {MAX_STEPS}"
        raise RecipeError(f"edit: the steps of face {number} must be {words}")
    numbers = {name: float(value) for name, value in values.items()}
    return FaceEdit(strengths=numbers, space=space, steps=tuple(steps))


def _is_steps(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, int) and 1 <= value <= MAX_STEPS


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
