"""The published file formats, one file each, and how a file's format is recognised."""

from goldenlayers.facts.formats.base import Built, Format
from goldenlayers.facts.formats.recognise import FORMATS, OWN, find_format, recognise

__all__ = ["FORMATS", "OWN", "Built", "Format", "find_format", "recognise"]
