"""The published encoders of CLCAE, pSp, e4e and their relatives, from their own files."""

from inversion.published.inverter import PublishedInverter
from inversion.published.loading import check_encoder, load_contrastive, load_published
from inversion.published.model import PublishedModel

__all__ = ["PublishedInverter", "PublishedModel", "check_encoder", "load_contrastive", "load_published"]
