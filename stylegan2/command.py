"""How every command of a package ends: 0, or one line on stderr and 2."""

import sys
from collections.abc import Callable

from stylegan2.errors import StyleGANError

MISTAKE_EXIT = 2


def exit_status(run: Callable[[], None]) -> int:
    """Run a command; a mistake of the user ends with one line on stderr."""
    try:
        run()
    except StyleGANError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return MISTAKE_EXIT
    return 0
