"""The published encoders of CLCAE, pSp and e4e, from their own files."""

from inversion.published.inverter import PublishedInverter
from inversion.published.loading import load_contrastive, load_published
from inversion.published.model import PublishedModel

__all__ = ["PublishedInverter", "PublishedModel", "load_contrastive", "load_published"]
