"""Become a command that dies when the process that started it dies: `python leash.py PARENT COMMAND...`.

Run as a file and without site packages, so that it starts in a few milliseconds. It replaces itself by the command
rather than setting this up between fork and exec, which is not safe in a process with threads.
Linux alone has the means; elsewhere the command outlives a parent that is killed by SIGKILL.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Tie the process to ``parent`` and become the command."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be tied to
            sys.exit("declouds: the process that started this one has ended")
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # Ray blocks signals in its workers, and a mask is inherited
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"declouds: cannot start {command[0]}: {error.strerror}", flush=True)
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
