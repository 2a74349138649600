"""What all tests share."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a hub
torch.set_num_threads(int(os.environ.get("GL_THREADS", min(2, os.cpu_count() or 1))))


@pytest.fixture(autouse=True)
def _own_old_answers(tmp_path_factory, monkeypatch):
    """No test finds the answers that another one kept, nor writes into the user's cache."""
    from goldenlayers.locators import old_answers

    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(old_answers, "cache_dir", lambda: folder)


@pytest.fixture
def read_only(monkeypatch):
    """Return a function that makes a folder read-only, for root too, whom no mode stops."""

    def refuse(folder):
        folder.chmod(0o555)
        for name in ("mkstemp", "mkdtemp"):
            real = getattr(tempfile, name)

            def made(*args, real=real, **options):
                if Path(options.get("dir", "/")).resolve() == folder.resolve():
                    raise PermissionError(errno.EACCES, "Permission denied", str(folder))
                return real(*args, **options)

            monkeypatch.setattr(tempfile, name, made)

    return refuse


@pytest.fixture(scope="session")
def bundled():
    """The real bundled model; fetched and converted on the first use."""
    from goldenlayers.models.load import load_model

    return load_model("bundled", say=print)
