"""Content Credentials (C2PA): a signed statement that a picture was edited, for who has a certificate."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from editor.errors import ImageInputError
from editor.photo.writing.xmp import SOFTWARE, SOURCE_TYPE

# Nothing here asks a network: no time stamps, no revocation, no manifests from elsewhere. A thumbnail of the
# picture is of no use beside the picture.
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}, "certificate_status_fetch": None},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": False},
}
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credentials:
    """Who signs."""

    certificates: Path
    """A chain of certificates, PEM: the signer's own first, then those that vouch for it. C2PA asks that the
    first is not self-signed, and is for e-mail protection or document signing."""
    private_key: Path
    """The private key of the first, PEM, without a password: P-256, P-384, P-521, RSA or Ed25519."""


def sign_picture(data: bytes, mime: str, note: str, credentials: Credentials) -> bytes:
    """A picture with a manifest inside, that says: edited, a composite with what a trained model made.

    Args:
        data: A JPEG, PNG or WebP.
        mime: Its type, such as "image/jpeg".
        note: What was done, in one line.
        credentials: Who signs.

    Raises:
        ImageInputError: c2pa-python is not installed, a file of the credentials cannot be read, or they are
            not fit to sign.
    """
    try:
        c2pa = import_module("c2pa")
    except ImportError as error:
        raise ImageInputError(
            "signing needs the package c2pa-python (pip install c2pa-python); without it, save unsigned"
        ) from error
    chain = _read("certificate chain", credentials.certificates)
    key = _read("private key", credentials.private_key)
    signed = io.BytesIO()
    try:
        algorithm, key = _algorithm_and_key(key)
        signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None))
        with (
            c2pa.Context.from_dict(_SETTINGS) as context,
            c2pa.Builder(_manifest(mime, note), context) as builder,
        ):
            builder.sign(signer, mime, io.BytesIO(data), signed)
    except (c2pa.C2paError, ValueError, TypeError) as error:
        found = " ".join(str(error).split())
        raise ImageInputError(
            f"the picture cannot be signed with '{credentials.certificates.name}' and "
            f"'{credentials.private_key.name}' ({found}); C2PA allows a chain whose first certificate is not "
            "self-signed and is for e-mail protection or document signing, with its own key"
        ) from error
    return signed.getvalue()


def _read(what: str, path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        found = error.strerror if isinstance(error, OSError) else error
        raise ImageInputError(f"{what} '{Path(path).name}' cannot be read: {found}") from error


def _algorithm_and_key(pem: bytes) -> tuple[str, bytes]:
    """The algorithm that a key signs with, and the key in the one form that c2pa takes (PKCS #8)."""
    keys: Any = import_module("cryptography.hazmat.primitives.serialization")  # comes with c2pa-python
    private = keys.load_pem_private_key(pem, None)
    if hasattr(private, "curve"):
        algorithm = _CURVES.get(private.curve.name, str(private.curve.name))
    else:
        algorithm = "ps256" if hasattr(private, "private_numbers") else "ed25519"
    form = (keys.Encoding.PEM, keys.PrivateFormat.PKCS8, keys.NoEncryption())
    return algorithm, private.private_bytes(*form)


def _manifest(mime: str, note: str) -> dict[str, Any]:
    agent = {"name": SOFTWARE}
    # What was opened is only named: its own manifest may hold a thumbnail of the face as it was.
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["photo"]}}
    edited = {
        "action": "c2pa.edited",
        "softwareAgent": agent,
        "digitalSourceType": SOURCE_TYPE,
        "description": note,
    }
    return {
        "claim_generator_info": [agent],
        "format": mime,
        "ingredients": [{"title": "photo", "relationship": "parentOf", "label": "photo"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [opened, edited]}}],
    }
