"""Runs a command as another user where this one is root, for programs that refuse root.

PostgreSQL is one. The other user could not reach files below a home that only root may enter, where
both the programs and the data may lie; opening up these folders would be worse than what is done
here: the command keeps the one capability that lets it pass (Linux), and nothing else of root's.

It is a script with nothing but the standard library, and becomes the command (exec), so that a
process id and an open file stay what they are.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1


def main() -> None:
    """Become the user and then the command of the arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--gid", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    linux = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if linux is not None:
        linux.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(arguments.gid, arguments.gid, arguments.gid)
    os.setresuid(arguments.uid, arguments.uid, arguments.uid)
    if linux is not None:
        _keep_passage(linux)
        # Linux forgets it when a process becomes another user.
        linux.prctl(_PR_SET_PDEATHSIG, arguments.death_signal, 0, 0, 0)
    os.execv(arguments.command[0], arguments.command)


def _keep_passage(linux: ctypes.CDLL) -> None:
    """Keep the right to pass folders of others, where this process has it to give.

    Where it has not, as in a container with fewer rights, the command says itself what it cannot
    reach.
    """
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Effective, permitted and inheritable, once for each half of the capabilities.
    data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    if linux.capset(header, data) == 0:
        linux.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


if __name__ == "__main__":
    main()
