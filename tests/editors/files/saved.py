"""An edit of a tiny model, and the files that it is saved as, to be damaged."""

from __future__ import annotations

import pytest
import torch

from tests import tiny
from tests.editors.edits import random_edit


@pytest.fixture(scope="session")
def edit():
    return random_edit(tiny.model("llama", torch.float32), (1,), rank=2)


@pytest.fixture
def delta(edit, tmp_path):
    return edit.save(tmp_path / "e.safetensors")[0]


@pytest.fixture
def adapter(edit, tmp_path):
    edit.save(tmp_path / "a", "adapter")
    return tmp_path / "a"
