"""The public names, and what importing them costs."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import goldenlayers


@pytest.mark.parametrize("name", goldenlayers.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(goldenlayers, name)
    assert name == "__version__" or value.__doc__


def test_the_two_lists_of_names_agree():
    assert set(goldenlayers._WHERE) | {"__version__"} == set(goldenlayers.__all__)
    assert dir(goldenlayers) == sorted(goldenlayers.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'edits'"):
        _ = goldenlayers.edits


def test_every_module_imports():
    names = [m.name for m in pkgutil.walk_packages(goldenlayers.__path__, "goldenlayers.")]
    assert len(names) > 25
    for name in names:
        importlib.import_module(name)


def test_help_does_not_wait_for_torch():
    code = (
        "import sys\nimport goldenlayers.cli.main\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
