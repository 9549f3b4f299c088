"""Content Credentials, signed by a certificate that is made here; read by c2pa itself."""

import datetime
import io
import json

import numpy as np
import pytest

from editor.errors import ImageInputError
from editor.photo.original import open_photo
from editor.photo.reading import load_photo
from editor.photo.writing import credentials
from editor.photo.writing.credentials import Credentials
from editor.photo.writing.saving import KINDS, encode_photo
from editor.photo.writing.xmp import SOFTWARE, SOURCE_TYPE
from tests.helpers.pictures import encoded, picture


@pytest.fixture(scope="module")
def c2pa():
    return pytest.importorskip("c2pa", reason="c2pa-python signs and reads; it is not required")


def write_pem(path, key, *certificates, old_form=False):
    from cryptography.hazmat.primitives import serialization as form

    private = form.PrivateFormat.TraditionalOpenSSL if old_form else form.PrivateFormat.PKCS8
    (path / "key.pem").write_bytes(key.private_bytes(form.Encoding.PEM, private, form.NoEncryption()))
    (path / "chain.pem").write_bytes(b"".join(item.public_bytes(form.Encoding.PEM) for item in certificates))
    return Credentials(path / "chain.pem", path / "key.pem")


def certificate(subject, key, issuer, issuer_key, *, is_authority):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(words):
        common = x509.NameAttribute(NameOID.COMMON_NAME, words)
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"), common])

    usages = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
    )
    usage = dict.fromkeys((*usages, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    usage |= {"key_cert_sign": True} if is_authority else {"digital_signature": True}
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    if not is_authority:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        made = made.add_extension(purpose, critical=False)
    return made.sign(issuer_key, hashes.SHA256())


def chain(key):
    from cryptography.hazmat.primitives.asymmetric import ec

    root = ec.generate_private_key(ec.SECP256R1())
    authority = certificate("Root", root, "Root", root, is_authority=True)
    return certificate("Signer", key, "Root", root, is_authority=False), authority


def new_key(kind):
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if kind == "P-384" else ec.SECP256R1())


@pytest.fixture(scope="module")
def signer(c2pa, tmp_path_factory):
    key = new_key("P-256")
    return write_pem(tmp_path_factory.mktemp("keys"), key, *chain(key))


def read(c2pa, data, kind):
    settings = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    with c2pa.Context.from_dict(settings) as context:
        reader = c2pa.Reader(f"image/{kind}", io.BytesIO(data), context=context)
        return json.loads(reader.json()), reader


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_photo_says_what_was_done_and_is_valid(kind, signer, c2pa):
    photo = open_photo(encoded(picture(), "JPEG"))
    plain = encode_photo(photo, photo.pixels, kind=kind, note="smile +1")
    signed = encode_photo(photo, photo.pixels, kind=kind, note="smile +1", sign=signer)
    np.testing.assert_array_equal(load_photo(signed), load_photo(plain))
    found, reader = read(c2pa, signed, kind)
    assert found["validation_state"] == "Valid"
    assert (reader.is_embedded(), reader.get_remote_url()) == (True, None)
    manifest = found["manifests"][found["active_manifest"]]
    assert "thumbnail" not in json.dumps(manifest)
    assert "timeStamp" not in json.dumps(manifest["signature_info"])
    (actions,) = [item["data"]["actions"] for item in manifest["assertions"] if "actions" in item["label"]]
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"] == SOURCE_TYPE
    assert actions[1]["description"] == "smile +1"
    assert manifest["claim_generator_info"][0]["name"] == SOFTWARE
    damaged = bytearray(signed)
    damaged[-40] ^= 1
    assert read(c2pa, bytes(damaged), kind)[0]["validation_state"] != "Valid"


@pytest.mark.parametrize("kind", ["P-384", "RSA", "Ed25519"])
def test_keys_of_several_kinds_sign(kind, c2pa, tmp_path):
    key = new_key(kind)
    who = write_pem(tmp_path, key, *chain(key))
    photo = open_photo(picture())
    data = encode_photo(photo, photo.pixels, kind="jpeg", note="", sign=who)
    assert read(c2pa, data, "jpeg")[0]["validation_state"] == "Valid"


def test_a_key_in_the_old_form_of_openssl_signs(c2pa, tmp_path):
    key = new_key("P-256")
    who = write_pem(tmp_path, key, *chain(key), old_form=True)
    assert b"BEGIN EC PRIVATE KEY" in who.private_key.read_bytes()
    photo = open_photo(picture())
    data = encode_photo(photo, photo.pixels, kind="png", note="", sign=who)
    assert read(c2pa, data, "png")[0]["validation_state"] == "Valid"


def test_credentials_that_do_not_fit_are_named(c2pa, tmp_path):
    photo = open_photo(picture())

    def sign(who):
        return encode_photo(photo, photo.pixels, kind="jpeg", note="", sign=who)

    key, other = new_key("P-256"), new_key("P-256")
    alone = certificate("Root", key, "Root", key, is_authority=True)
    with pytest.raises(ImageInputError, match=r"with 'chain\.pem' and 'key\.pem' \(.*self-signed"):
        sign(write_pem(tmp_path, key, alone))
    with pytest.raises(ImageInputError, match=r"cannot be signed with"):
        sign(write_pem(tmp_path, other, *chain(key)))
    (tmp_path / "key.pem").write_text("no key")
    with pytest.raises(ImageInputError, match=r"cannot be signed with"):
        sign(Credentials(tmp_path / "chain.pem", tmp_path / "key.pem"))
    with pytest.raises(ImageInputError, match=r"private key 'gone\.pem' cannot be read: No such file"):
        sign(Credentials(tmp_path / "chain.pem", tmp_path / "gone.pem"))
    with pytest.raises(ImageInputError, match=r"certificate chain 'gone\.pem' cannot be read: No such file"):
        sign(Credentials(tmp_path / "gone.pem", tmp_path / "key.pem"))


def test_without_the_package_the_message_names_it(monkeypatch, tmp_path):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(credentials, "import_module", missing)
    photo = open_photo(picture())
    with pytest.raises(ImageInputError, match=r"pip install c2pa-python\); without it, save unsigned"):
        encode_photo(photo, photo.pixels, kind="png", note="", sign=Credentials(tmp_path, tmp_path))
