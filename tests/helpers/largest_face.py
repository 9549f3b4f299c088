"""The largest face of a photo, cut out by the product's own way."""

from types import SimpleNamespace

from editor.face.photo import open_faces
from editor.photo.original import open_photo


def find_and_crop(detector, pixels, crop_config, resolution):
    """Crop, face, all faces, and notes."""
    photo = open_faces(open_photo(pixels), detector, crop_config, resolution, large=64)
    first = photo.face(1)
    return SimpleNamespace(
        cropped=first.cropped,
        face=first.face,
        faces=tuple(face.face for face in photo.faces),
        notes=first.notes,
    )
