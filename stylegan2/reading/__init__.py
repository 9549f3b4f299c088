"""Weights files of any origin as inert data: nothing that a file holds is ever run."""

from stylegan2.reading.document import Document, Node
from stylegan2.reading.reader import read_document

__all__ = ["Document", "Node", "read_document"]
