"""Editor: the facade from a photo to an edited face."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from editor.errors import FaceError
from editor.face.box import PhotoBox
from editor.face.landmarks import FaceDetector
from editor.face.photo import FacePhoto, PhotoFace, cut_faces, open_box, open_faces
from editor.measure.fit import Fit, FitGauge
from editor.measure.identity import IdentityMeter
from editor.model.card import ModelCard, describe_model
from editor.model.opening import open_model
from editor.optimiser import Optimise, by_inverter
from editor.painter import Painter, edited_latents
from editor.parts.network import SIDE as PARSED_SIDE
from editor.photo.colour import Pixels
from editor.photo.original import PhotoFile, open_photo
from editor.session import EditSession
from editor.transfer.ground import DrawnMemo, Ground, ground_of_crop
from editor.transfer.photo_transfer import PhotoTransfer
from inversion.chain.decoder import Decoder
from inversion.chain.inversion import Inversion, Space
from inversion.chain.inverter import InvertsPictures
from inversion.directions.bank import DIRECTIONS_ROOT, DirectionBank, find_directions
from inversion.directions.components import discover_directions
from inversion.directions.errors import DirectionError
from inversion.directions.rated import Measures, find_measures
from inversion.networks.checkpoint import load_contrastive_pair
from inversion.optimise.search import Tell
from stylegan2.bundle.content import Content
from stylegan2.bundle.folder import CropConfig
from stylegan2.bundle.opening import DEFAULT_BUNDLE, load_bundle
from stylegan2.engines.resting import RestingWeights
from stylegan2.network.generator import Generator

OPTIMISATION_STEPS = 50  # in each space, of a photo's first fit where the model has no encoder

PhotoSource = str | Path | bytes | Image.Image | Pixels


class Editor:
    """Photo -> crop -> latents -> edits -> picture.

    Sessions go in and come out; the editor itself keeps none, so one serves every visitor.

    Args:
        generator: Draws the pictures.
        inverter: Finds latents of crops.
        decoder: Draws latents.
        detector: Finds faces in photos.
        directions: Edits of `generator`.
        gauge: Tells how well a face fits the model; None where the model has no contrastive pair.
        identity: Tells whether two faces are the same person; None where no network was named.
        crop_config: Where `generator` expects the face.
        transfer: Carries the photo's own pixels through edits.
        card: What the model is, for people.
        measures: How w moves with what is measured of faces; None where nobody found that out.
        sha256: Of the generator's weights file, which own edits are kept for.
        optimiser: Optimises in the inverter's place; None where the inverter does.
        content: Of a model of whole pictures what they fill of the square; None where it draws faces.
        weights: Of the networks; None where they stay in memory.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        inverter: InvertsPictures,
        decoder: Decoder,
        detector: FaceDetector,
        directions: DirectionBank,
        crop_config: CropConfig,
        gauge: FitGauge | None = None,
        identity: IdentityMeter | None = None,
        transfer: PhotoTransfer,
        card: ModelCard | None = None,
        measures: Measures | None = None,
        sha256: str = "",
        optimiser: Optimise | None = None,
        content: Content | None = None,
        weights: RestingWeights | None = None,
    ) -> None:
        self.generator = generator
        self.inverter = inverter
        self.decoder = decoder
        self.detector = detector
        self.directions = directions
        self.crop_config = crop_config
        self.gauge = gauge
        self.identity = identity
        self.painter = Painter(decoder, directions, transfer)
        self.measures, self.sha256, self.content = measures, sha256, content
        self.weights = weights or RestingWeights((), list)
        self._optimiser = optimiser or by_inverter
        self.card = card or ModelCard(name="a model", text="")

    def prepare(self) -> None:
        """Build faster engines in the background, and load the face model; meanwhile drawing is slower."""
        self.decoder.prepare()
        self.painter.transfer.prepare()
        self.inverter.prepare()
        self.detector.load()

    def wait(self) -> None:
        """Wait for the engines that `prepare` builds; from then on pictures come of these alone."""
        self.decoder.wait()
        self.inverter.wait()
        self.painter.transfer.wait()

    def settle(self) -> None:
        """Wait as `wait`, then let the weights rest where converted graphs have replaced them."""
        self.wait()
        if self.decoder.converted and self.inverter.converted:
            self.weights.rest()

    @property
    def resolution(self) -> int:
        """Side of every crop and picture in pixels."""
        return self.generator.img_resolution

    @property
    def has_encoder(self) -> bool:
        """Whether photos are inverted at once; without, they take `optimise`, see `awaits_fit`."""
        return self.inverter.engine is not None

    def awaits_fit(self, session: EditSession) -> bool:
        """Whether the session's latents are a mere start, so that `optimise` has to find the face."""
        return not self.has_encoder and not session.invented and session.inversion.steps == 0

    def open_photo(
        self, photo: PhotoSource, *, most_pixels: int | None = None, box: PhotoBox | None = None
    ) -> FacePhoto:
        """Read a photo, and find and cut out every face in it; or a box, where the model draws no faces.

        Args:
            photo: A path, the bytes of an image file, a PIL image, or pixels [H, W, 3] uint8. A file must
                stay where it is until the photo is saved.
            most_pixels: Keep no more than a view of so many pixels; None keeps the photo as it is.
            box: What to cut out instead of faces; None of a model of no faces for the largest in the middle.

        Raises:
            ImageInputError: The photo cannot be read, or is too small, too large or too narrow.
            NoFaceError: No face, and no box.
            FaceError: None that is not turned too far away.
            BoxError: The box does not lie within the photo, or is too small.
        """
        if box is not None or self.content is not None:
            return self.open_box(open_photo(photo), box, most_pixels=most_pixels)
        return open_faces(
            open_photo(photo),
            self.detector,
            self.crop_config,
            self.resolution,
            large=PARSED_SIDE,
            most_pixels=most_pixels,
        )

    def open_box(
        self, file: PhotoFile, box: PhotoBox | None = None, *, most_pixels: int | None = None
    ) -> FacePhoto:
        """A photo with a box in the place of a face; arguments and errors as of `open_photo`."""
        content = self.content or Content()
        return open_box(file, content, self.resolution, large=PARSED_SIDE, most_pixels=most_pixels, box=box)

    def find_faces(self, photo: PhotoSource) -> tuple[PhotoFace, ...]:
        """Every face of a photo, the largest first, also those that cannot be used; or box, as `open_photo`.

        Raises:
            ImageInputError: As `open_photo`.
            FaceError: There is no face.
        """
        if self.content is not None:
            return self.open_photo(photo).faces
        pixels = open_photo(photo).pixels
        return cut_faces(pixels, self.detector, self.crop_config, self.resolution, large=PARSED_SIDE)

    def invert(self, photo: PhotoSource | FacePhoto, face: int = 1) -> EditSession:
        """Invert one face of a photo with the encoder.

        Without an encoder the session starts from the mean face: see `awaits_fit`.

        Args:
            photo: Opened, or what `open_photo` takes.
            face: Its number, from 1, the largest first.

        Raises:
            ImageInputError: As `open_photo`.
            FaceError: No face, no such number, or one turned too far away.
        """
        start = time.perf_counter()
        opened = photo if isinstance(photo, FacePhoto) else self.open_photo(photo)
        chosen = opened.face(face)
        if chosen.cropped is None or chosen.large is None:
            raise FaceError(chosen.refusal)
        ground = self.painter.ground(opened, chosen, chosen.large)
        cropped = time.perf_counter()
        session = self._inverted(chosen.cropped.crop, ground)
        return replace(
            session,
            face=face,
            content=chosen.content or Content(),
            transform=chosen.cropped.transform,
            padded=chosen.cropped.padded,
            notes=chosen.notes,
            milliseconds={"crop": (cropped - start) * 1e3, **session.milliseconds},
        )

    def invert_crop(self, crop: Pixels) -> EditSession:
        """Invert a face that is cropped already, or a picture, black beyond its content: [R, R, 3] uint8.

        Raises:
            ShapeError: `crop` has another shape.
        """
        return self._inverted(crop, ground_of_crop(crop))

    def _inverted(self, crop: Pixels, ground: Ground) -> EditSession:
        start = time.perf_counter()
        inversion = self.inverter.invert(torch.tensor(crop)[None])
        return EditSession(
            crop=crop,
            ground=ground,
            inversion=inversion,
            content=self.content or Content(),
            space="w+" if inversion.f is None else "f",
            milliseconds={"invert": (time.perf_counter() - start) * 1e3},
        )

    def fit(self, session: EditSession) -> Fit | None:
        """How well the face fits the model, see `FitGauge`; None where the model cannot tell."""
        if self.gauge is None:
            return None
        w = session.inversion.w
        return self.gauge(session.crop, w, enlargement=session.enlargement, padded=session.padded)

    def likeness(self, session: EditSession, pixels: Pixels) -> float | None:
        """Likeness of a picture [R, R, 3] to the photo's person, see `IdentityMeter`; None without one."""
        return None if self.identity is None else self.identity(session.crop, pixels)

    def spaces(self, session: EditSession) -> tuple[Space, ...]:
        """The spaces that the session can be drawn in, from the plainest to the most faithful."""
        found = session.inversion
        return (*(("w",) if found.has_w else ()), "w+", *(() if found.f is None else ("f",)))

    def enter(self, session: EditSession, space: str) -> EditSession:
        """Draw and edit the session in another space.

        Raises:
            DirectionError: The session has no latents in that space.
        """
        have = self.spaces(session)
        for known in have:
            if known == space:
                return replace(session, space=known)
        raise DirectionError(f"no space {space!r}; have: {', '.join(have)}")

    def sample(self, seed: int, truncation_psi: float = 0.7) -> EditSession:
        """A face that the generator invents, with its true latent; the same for the same seed."""
        w = self.generator.sample_w(1, seed=seed, truncation_psi=truncation_psi).cpu()
        inversion = Inversion(w=w, ws=self.generator.broadcast(w).clone())
        content = self.content or Content()
        crop = content.on_black(self.decoder.draw(inversion, "w")[0].numpy())
        ground = ground_of_crop(crop)
        return EditSession(crop=crop, ground=ground, inversion=inversion, content=content, invented=True)

    def optimise(self, session: EditSession, steps: int, progress: Tell | None = None) -> EditSession:
        """Improve the inversion, `steps` in each space, as `Inverter.optimise` does; edits stay."""
        start = time.perf_counter()
        crop = torch.from_numpy(np.ascontiguousarray(session.crop))[None]
        with self.weights.in_use():
            inversion = self._optimiser(self.inverter, crop, session.inversion, steps, progress)
        times = {**session.milliseconds, "optimise": (time.perf_counter() - start) * 1e3}
        ground = replace(session.ground, drawn=DrawnMemo())  # the unedited face is drawn otherwise now
        given = (*session.optimised, steps)
        return replace(session, inversion=inversion, ground=ground, milliseconds=times, optimised=given)

    def edit(self, session: EditSession, strengths: Mapping[str, float]) -> EditSession:
        """Replace the session's edits.

        Raises:
            DirectionError: An unknown direction.
            StrengthError: A strength that is not a number in the direction's range.
        """
        return replace(session, strengths=self.directions.joined(session.own).check(strengths))

    def render(self, session: EditSession) -> Pixels:
        """The edited face, pixels [R, R, 3] uint8."""
        return self._render(session, session.strengths)

    def reconstruct(self, session: EditSession) -> Pixels:
        """The inverted face without edits, pixels [R, R, 3] uint8."""
        return self._render(session, {})

    def engine_name(self, session: EditSession) -> str:
        """Name of the engine that draws the session's space at the moment: F has one of its own."""
        return self.decoder.engine(session.inversion, session.space).name

    def edit_crop(self, session: EditSession, crop: Pixels | None = None) -> Pixels:
        """The edit on the cropped photo itself.

        Args:
            session: Of the face.
            crop: The photo's crop at any size [S, S, 3] uint8; None for that which was inverted.

        Returns:
            [S, S, 3] uint8; without an edit `crop`, bit for bit.
        """
        return self.painter.on_crop(session, session.crop if crop is None else crop)

    def edit_photo(self, photo: FacePhoto, sessions: Iterable[EditSession]) -> Pixels:
        """The photo with the edits of some of its faces: `photo.pixels` [H, W, 3] uint8, painted on.

        Args:
            photo: Opened; of a view, the view is painted on.
            sessions: Of its faces, each at most once.

        Raises:
            FaceError: A session's face is not in the photo.
        """
        edited = photo.pixels.copy()
        for session in sessions:
            patch = self.painter.on_photo(photo, session, onto=edited)
            if patch is not None:
                patch.put(edited)
        return edited

    def _render(self, session: EditSession, strengths: Mapping[str, float]) -> Pixels:
        found, edit = edited_latents(self.directions, self.decoder, session, strengths)
        return self.decoder.draw(found, session.space, edit)[0].numpy()


def open_editor(
    bundle: str | Path = DEFAULT_BUNDLE,
    *,
    device: str = "auto",
    engine: str = "auto",
    cache: Path | None = None,
    face_model: str | Path | None = None,
    identity: str | Path | None = None,
    detector: FaceDetector | None = None,
    optimiser: Optimise | None = None,
    at_once: bool = False,
) -> Editor:
    """Load everything that a model needs; `Editor.prepare` then makes it fast.

    What a model lacks is made up for: photos of one without an encoder are found by optimisation, and one
    without directions is edited along its principal components.

    Args:
        bundle: Folder with `bundle.yaml`, or a weights file.
        device: "auto", "cpu", "cuda" or "mps".
        engine: "auto", "torch" or "openvino".
        cache: Folder for converted graphs; None for the user's cache folder.
        face_model: A MediaPipe FaceLandmarker `.task` file instead of the bundled one.
        identity: A face network for `IdentityMeter`; None leaves identity unmeasured.
        detector: One that is open already, instead of one of its own.
        optimiser: See `Editor`.
        at_once: Begin to prepare every part, but for the face model, as soon as it is read.

    Raises:
        CheckpointError: Missing or damaged weights.
        EngineError: A device or engine that cannot be used.
    """
    model = load_bundle(bundle)
    transfer = PhotoTransfer(model.resolution, device=device, engine=engine, cache=cache)
    opened = open_model(model, device=device, engine=engine, cache=cache, at_once=at_once)
    if at_once:
        opened.prepare()
        transfer.prepare()
    generator, decoder = opened.generator, opened.decoder
    detector = detector or FaceDetector(face_model)
    pair = None if model.contrastive_path is None else load_contrastive_pair(model.contrastive_path)
    directions = find_directions(model.generator_sha256, generator.w_dim, generator.num_ws)
    if not len(directions):
        directions = discover_directions(generator)
    return Editor(
        generator=generator,
        gauge=None if pair is None else FitGauge(pair, generator, decoder.renderer, detector),
        identity=None if identity is None else IdentityMeter(identity, model.crop_config),
        decoder=decoder,
        inverter=opened.inverter,
        detector=detector,
        directions=directions,
        crop_config=model.crop_config,
        transfer=transfer,
        measures=find_measures(model.generator_sha256, DIRECTIONS_ROOT),
        sha256=model.generator_sha256,
        optimiser=optimiser,
        weights=opened.weights,
        content=model.content,
        card=describe_model(model, directions, spaces=opened.spaces, encoder=opened.encoder),
    )
