"""The named errors of golden-layers.

Each message says what was found, what was expected and what to do. The command line prints the
message alone and ends with status 2; a traceback therefore always means a defect of ours.
"""

from __future__ import annotations


class GoldenLayersError(Exception):
    """Base of every error that golden-layers raises on purpose."""


class SettingsError(GoldenLayersError):
    """A setting is unknown, out of range, or contradicts another one."""


class FactError(GoldenLayersError):
    """A facts file or one of its records cannot be used."""


class ModelError(GoldenLayersError):
    """A model or tokenizer cannot be found, fetched, loaded or run."""


class SiteError(GoldenLayersError):
    """The edit sites of a model cannot be told from its structure."""


class LocatorError(GoldenLayersError):
    """No layer can be chosen from what was computed."""


class ResultError(GoldenLayersError):
    """A result file is missing, damaged, or of another format."""


class ClusterError(GoldenLayersError):
    """A cluster cannot do the work: no worker starts, or a piece of it kills every worker."""


class EditError(GoldenLayersError):
    """An edit cannot be made, applied or taken off."""


class MemoryShortError(GoldenLayersError):
    """Memory runs out even with the smallest batch that there is."""
