"""How every command of a package ends: 0, or one line on stderr and 2."""

import os
import sys
from collections.abc import Callable

from stylegan2.errors import StyleGANError

MISTAKE_EXIT = 2
CLOSED_EXIT = 141  # what a shell says of a program that SIGPIPE ended


def exit_status(run: Callable[[], None]) -> int:
    """Run a command; a mistake of the user ends with one line on stderr.

    Whoever reads the output may close it before its end, as `head` does.
    """
    try:
        run()
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_EXIT
    except StyleGANError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return MISTAKE_EXIT
    return 0
