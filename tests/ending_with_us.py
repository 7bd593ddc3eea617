"""Programs that a test starts end with it, also where it is killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_BEGIN = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def ending_with_us(command: Sequence[str]) -> list[str]:
    """Return a command that becomes `command`, which Linux kills when this process is gone.

    Shape: started in a thread, it ends with that thread already. A `preexec_fn` would do the same,
    and might hang: other threads may hold locks when the process is copied.
    """
    return [sys.executable, "-I", "-S", "-c", _BEGIN, str(os.getpid()), *command]
