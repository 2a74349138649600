"""What a file from others may not do while it is read: hang, write elsewhere, start or unpickle."""

from __future__ import annotations

import faulthandler
import io
import os
import re
import signal
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from goldenlayers.cli.main import main

SECONDS = 5
STUCK = 60  # on the clock, in code that sees no signal or waits: the process is ended
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

# events of sys.addaudithook that change a file, with the places of the paths among their arguments
CHANGES = {
    "os.mkdir": (0,), "os.rename": (0, 1), "os.remove": (0,), "os.rmdir": (0,), "os.link": (0, 1),
    "os.symlink": (1,), "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,),
    "shutil.rmtree": (0,), "shutil.move": (0, 1),
}  # fmt: skip
NEVER = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.spawn",
         "subprocess.Popen", "socket.connect")  # fmt: skip
# what Python, torch and matplotlib keep for themselves when they are first imported
FINE = ("/dev/null", "__pycache__", "/torchinductor_", "/.config/matplotlib", "/.cache/matplotlib")

_watching: list[tuple[Path, list[str]]] = []


def _hook(event, arguments):
    if not _watching:
        return
    inside, seen = _watching[-1]
    if event in NEVER:
        seen.append(f"{event} {str(arguments)[:200]}")
        return
    if event == "open":
        path, mode, flags = arguments
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        paths = [path] if writes or (isinstance(mode, str) and set(mode) & set("wax+")) else []
    else:
        paths = [arguments[i] for i in CHANGES.get(event, ())]
    for path in paths:
        if isinstance(path, int) or path is None:
            continue  # a file that is open already
        place = os.path.realpath(_folder(event, arguments) / os.fsdecode(path))
        if not Path(place).is_relative_to(inside) and not any(fine in place for fine in FINE):
            seen.append(f"{event} {place}")


def _folder(event, arguments):
    """Return what a relative path is relative to: rmtree names files within an open folder."""
    if event in ("os.remove", "os.rmdir", "os.mkdir") and arguments[-1] >= 0:
        return Path(f"/proc/self/fd/{arguments[-1]}").readlink()
    return Path()


sys.addaudithook(_hook)  # there is no way to take one off; it does nothing while nobody watches


@contextmanager
def kept_inside(folder):
    """Fail if anything outside a folder is changed, a process started or a pickle read."""
    seen = []
    _watching.append((folder.resolve(), seen))
    try:
        yield
    finally:
        _watching.pop()
    assert not seen, f"outside {folder}: {seen[:5]}"


class Hang(BaseException):
    """Something took too long; no handler of errors may take it for one of its own."""


@contextmanager
def at_most(seconds):
    """Raise `Hang` in what takes longer; what cannot be interrupted ends the process.

    The seconds are the process's own, so that a busy machine makes no difference; what waits for
    something is stopped by the clock.
    """

    def late(*_):
        raise Hang(f"still reading after {seconds} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    faulthandler.dump_traceback_later(STUCK, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@dataclass(frozen=True)
class Said:
    """What a command of the command line left behind."""

    status: int
    out: str
    err: str


def command_line(*arguments):
    """Run golden-layers in this process as the shell would; what escapes it is a failure."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    argv = sys.argv
    sys.argv = ["golden-layers", *map(str, arguments)]
    status = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.argv = argv
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8"))
    said = Said(status, *texts)
    for text in texts:
        assert "Traceback" not in text, text[-2000:]
        assert not ACTING.search(text), (
            f"acts on the terminal: {ACTING.search(text)} {text[:500]!r}"
        )
    if status == 2:
        told = [line for line in said.err.splitlines() if line.strip()]
        assert told, "refused without a word"
    return said
