"""What several tests of files damage."""

from tests.editors.files.saved import adapter, delta, edit  # noqa: F401
