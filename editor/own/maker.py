"""OwnEdits: makes an edit of a few judged faces, or finds one in the model, and measures it."""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from editor.errors import FaceError, ImageInputError
from editor.measure.attribute_network import AttributeNetwork, load_attributes
from editor.measure.attributes import MEASURED, measure
from editor.measure.probe import Array, MeasureFace, Probe, draw
from editor.measure.texture import tear_of
from editor.photo.colour import Pixels
from editor.photo.reading import MIN_SIDE, load_photo
from editor.pipeline import Editor
from inversion.directions.bank import longest
from inversion.directions.components import RANGE, principal_components
from inversion.directions.errors import DirectionError
from inversion.directions.linear import EditDirection
from inversion.directions.rated import telling_faces, weights_of_ratings
from inversion.directions.style_space import channel_at, factorised_edits
from inversion.directions.target import SEED, DirectionTarget

SHOWN, CANDIDATES = 20, 60  # faces to be rated, and those that they are chosen from
PSI = 1.0  # truncation of these: what tells is how they differ
CHECKED, CHECKED_PSI = 12, 0.8  # faces that an edit is measured on
PLACE = 0.06  # radius of a place that is pointed at, as a share of the side
MOST_FILES = 400  # pictures of a list or folder
MOST_LETTERS = 40  # of a name
GROUP = "Your own"
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".heic", ".heif"}
Tell = Callable[[str], object]
Judge = Callable[[Sequence[Pixels], str], Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class RatedFace:
    """An invented face to be judged."""

    pixels: Pixels  # [R, R, 3]
    w: torch.Tensor  # [w_dim]
    table: Array  # what was measured of it [K]


class OwnEdits:
    """Makes edits for one editor's model.

    Args:
        editor: Whose model it is. Where nobody found out how its w moves with what is measured, ratings are
            told by latents alone.
    """

    def __init__(self, editor: Editor) -> None:
        self._editor, self._measures = editor, editor.measures
        self._target = DirectionTarget(editor.generator, editor.sha256)

    @cached_property
    def _network(self) -> AttributeNetwork:
        return load_attributes()

    @cached_property
    def _look(self) -> MeasureFace:
        return partial(measure, self._editor.detector, self._network)

    @cached_property
    def _probe(self) -> Probe:
        editor = self._editor
        w = editor.generator.sample_w(CHECKED, seed=SEED + 1, truncation_psi=CHECKED_PSI)
        ws = editor.generator.broadcast(w).cpu()
        if self._measures is None:
            return Probe(editor.decoder.renderer, self._look, ws)
        texture = self._measures.texture

        def tear(pixels: npt.NDArray[np.uint8], zones: object) -> npt.NDArray[np.float64]:
            return tear_of(self._network, texture, pixels)  # edits that are made here act all over

        return Probe(editor.decoder.renderer, self._look, ws, self._measures.spread, tear)

    def faces(self, seed: int, tell: Tell = lambda line: None) -> list[RatedFace]:
        """Invented faces to be rated, such that ratings tell most; the same for the same seed.

        Args:
            seed: Of the faces.
            tell: Receives how it goes.
        """
        found = self._invented(seed, tell)
        chosen = telling_faces(self._standardised([face.table for face in found]), SHOWN)
        return [found[index] for index in chosen]

    def _invented(self, seed: int, tell: Tell) -> list[RatedFace]:
        generator = self._editor.generator
        w = generator.sample_w(CANDIDATES, seed=seed, truncation_psi=PSI).cpu()
        found: list[RatedFace] = []
        for one, pixels in zip(w, draw(self._editor.decoder.renderer, generator.broadcast(w)), strict=True):
            seen = self._look(pixels)
            if seen is not None:
                table = np.array([seen[name] for name in MEASURED])
                found.append(RatedFace(pixels=pixels, w=one, table=table))
            tell(f"inventing faces: {len(found)} of {CANDIDATES}")
        if not found:
            raise DirectionError("no face is found in what this model draws, so there is nothing to rate")
        return found

    def of_ratings(
        self, label: str, faces: Sequence[RatedFace], ratings: Sequence[float], tell: Tell = lambda line: None
    ) -> EditDirection:
        """The edit towards faces that were rated higher.

        Args:
            label: What to call it.
            faces: Judged ones.
            ratings: Of each; any scale, for example 1 and -1.
            tell: Receives how it goes.

        Raises:
            DirectionError: Too few ratings, all equal, or nothing goes with them.
        """
        if self._measures is None:
            values = np.asarray(ratings, np.float64)
            weights_of_ratings(np.zeros((len(values), 1)), ratings)  # refuses what are no ratings
            w = torch.stack([face.w for face in faces]).double().numpy()
            step = torch.from_numpy((values - values.mean()) @ w).float()
        else:
            table = self._standardised([face.table for face in faces])
            step = self._measures.mixture(weights_of_ratings(table, ratings))
        return self._finished(label, step, tell)

    def of_pictures(
        self, label: str, rated: Iterable[tuple[Path, float]], tell: Tell = lambda line: None
    ) -> EditDirection:
        """The edit towards pictures that were rated higher: photos with a face, or crops of the model's size.

        Raises:
            DirectionError: As `of_ratings`, or too many pictures.
            ImageInputError: A picture cannot be read.
        """
        faces: list[RatedFace] = []
        ratings: list[float] = []
        for file, rating in rated:
            if len(faces) >= MOST_FILES:
                raise DirectionError(f"more than {MOST_FILES} pictures; that is the most")
            face = self._pictured(file)
            if face is not None:
                faces.append(face)
                ratings.append(rating)
            tell(f"looking at pictures: {len(faces)}")
        return self.of_ratings(label, faces, ratings, tell)

    def of_folders(self, label: str, more: Path, less: Path, tell: Tell = lambda line: None) -> EditDirection:
        """The edit from the pictures of one folder to those of another; raises as `of_pictures`."""
        rated = [(file, 1.0) for file in pictures_in(more)] + [(file, -1.0) for file in pictures_in(less)]
        return self.of_pictures(label, rated, tell)

    def of_list(self, label: str, file: Path, tell: Tell = lambda line: None) -> EditDirection:
        """The edit that a CSV of pictures and ratings tells, see `read_ratings`; raises as `of_pictures`."""
        return self.of_pictures(label, read_ratings(file), tell)

    def of_sentence(
        self, label: str, sentence: str, judge: Judge, tell: Tell = lambda line: None
    ) -> EditDirection:
        """The edit towards faces that fit a sentence, as somebody judges who reads.

        Args:
            label: What to call it; empty for the sentence.
            sentence: For example "a person with freckles".
            judge: Pictures and sentence -> how well each fits.
            tell: Receives how it goes.

        Raises:
            DirectionError: As `of_ratings`.
            ConfigError: The judge refuses the sentence.
        """
        faces = self._invented(0, tell)
        tell("reading the sentence")
        scores = judge([face.pixels for face in faces], sentence)
        return self.of_ratings(label or " ".join(sentence.split())[:MOST_LETTERS], faces, scores, tell)

    def factor(self, number: int, tell: Tell = lambda line: None) -> EditDirection:
        """The model's own factor of this number, from 1, see `factorised_edits`.

        Raises:
            DirectionError: There is no such factor.
        """
        generator = self._editor.generator
        with self._editor.weights.in_use():
            found = factorised_edits(generator, _number(number, generator.w_dim))
        return self._measured(found[-1], tell)

    def component(self, number: int, tell: Tell = lambda line: None) -> EditDirection:
        """The principal component of w of this number, from 1, see `principal_components`.

        Raises:
            DirectionError: There is no such component.
        """
        generator = self._editor.generator
        rng = torch.Generator().manual_seed(SEED)
        found = principal_components(generator, _number(number, generator.w_dim), rng)
        edit = self._target.offset(Path(f"component-{number}"), found.directions[-1].cpu())
        return self._measured(replace(edit, label=f"Component {number}"), tell)

    def channel(self, x: float, y: float, rank: int = 1, tell: Tell = lambda line: None) -> EditDirection:
        """The channel that changes a place of faces most.

        Args:
            x: From the left of the crop, 0..1.
            y: From its top, 0..1.
            rank: 1 for the best channel, 2 for the next.
            tell: Receives how it goes.

        Raises:
            DirectionError: The place lies outside.
        """
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise DirectionError(f"place: {x:g}, {y:g}; must lie within 0 to 1")
        generator = self._editor.generator
        side = generator.img_resolution
        rows, columns = torch.meshgrid(*[(torch.arange(side) + 0.5) / side] * 2, indexing="ij")
        place = ((columns - x).square() + (rows - y).square() <= PLACE**2).float()
        tell("looking which channel draws that place")
        w = generator.sample_w(4, seed=SEED, truncation_psi=CHECKED_PSI)
        with self._editor.weights.in_use():
            found = channel_at(generator, generator.broadcast(w), place, _number(rank, 100))
        return self._measured(found, tell)

    def named(self, edit: EditDirection, label: str, taken: Iterable[str]) -> EditDirection:
        """The edit under a name of its own, and what people call it.

        Raises:
            DirectionError: The label has no letter or digit, or too many.
        """
        words = " ".join(label.split()) or edit.label
        stem = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "edit"
        if len(words) > MOST_LETTERS or not words.isprintable():
            raise DirectionError(
                f"name: {len(words)} characters; must be at most {MOST_LETTERS}, all printable"
            )
        name, number = f"own-{stem}", 1
        while name in set(taken):
            number += 1
            name = f"own-{stem}-{number}"
        return replace(edit, name=name, label=words, group=GROUP, aliases=())

    def _finished(self, label: str, step: torch.Tensor, tell: Tell) -> EditDirection:
        length = longest(step)
        if not length > 0:
            raise DirectionError("ratings: nothing about the faces goes with them")
        direction = step / length
        edit = EditDirection(
            name="own", label=label, group=GROUP, low="less", high="more", direction=direction,
            sigma=length if self._measures is not None else self._target.sigma(direction),
            range=RANGE, layers=(0, self._editor.generator.num_ws),
        )  # fmt: skip
        return self._measured(edit, tell)

    def _measured(self, edit: EditDirection, tell: Tell) -> EditDirection:
        """The edit with its range and its effects, as those that come with a model have them."""
        tell("measuring what the edit changes")
        checked = self._probe.checked(replace(edit, group=GROUP))
        known = {name: abs(change) for name, change in checked.effects.items()}
        return replace(checked, attribute=max(known, key=known.__getitem__) if known else None)

    def _standardised(self, rows: Sequence[Array]) -> Array:
        table = np.array(rows)
        if self._measures is not None:
            return self._measures.standardised(table)
        scaled: Array = (table - table.mean(0)) / np.maximum(table.std(0), 1e-6)
        return scaled

    def _pictured(self, file: Path) -> RatedFace | None:
        editor = self._editor
        pixels = load_photo(file, min_side=min(MIN_SIDE, editor.resolution))
        if pixels.shape[:2] != (editor.resolution, editor.resolution):
            try:
                photo = editor.open_photo(file)
            except FaceError:
                return None
            cropped = photo.face(photo.first).cropped
            if cropped is None:
                return None
            pixels = cropped.crop
        seen = self._look(pixels)
        if seen is None:
            return None
        w = editor.invert_crop(pixels).inversion.w[0] if self._measures is None else torch.zeros(0)
        return RatedFace(pixels=pixels, w=w, table=np.array([seen[name] for name in MEASURED]))


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name.

    Raises:
        ImageInputError: It is no folder, or holds none.
    """
    found = (
        sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)
        if folder.is_dir()
        else []
    )
    if not found:
        raise ImageInputError(f"{folder}: no folder with pictures ({', '.join(sorted(PICTURES))})")
    return found


def read_ratings(file: Path) -> list[tuple[Path, float]]:
    """Pictures and their ratings.

    Args:
        file: A CSV with the columns `file`, relative to it, and `rating`, a number; rows without a rating are
            left out.

    Raises:
        DirectionError: It cannot be read, or has other columns or ratings.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
        rated = [(file.parent / row["file"], float(row["rating"])) for row in rows if row["rating"].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DirectionError(f"{file}: no list of ratings ({error})") from error
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DirectionError(
            f"{file}: columns `file` and `rating`, a number, are wanted ({error})"
        ) from error
    return rated


def _number(value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise DirectionError(f"number: {value}; must be from 1 to {most}")
    return value
