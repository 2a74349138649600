"""Ctrl-C once ends a command in order, with what is done; once more ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STATUS = 130  # as a shell has it: 128 and the signal's number
SAID = b"\nstopped at once; every edit that was finished is kept\n"
SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it, and would not come to show it again


@contextmanager
def twice_ends_at_once() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first Ctrl-C inside; end the process at the second.

    Stopping in order takes its time: what is done is ranked and written. Who does not want to wait
    loses that alone, as finished edits are on disk already, and files are put in place whole. No
    exception is raised the second time: it would come in the middle of stopping, or of the
    interpreter's own end, and be a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            raise KeyboardInterrupt
        os.write(2, (SHOW_CURSOR if sys.stderr.isatty() else b"") + SAID)
        os._exit(STATUS)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        # after a stop the interpreter's own end is left to the same handler
        if not pressed:
            signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
