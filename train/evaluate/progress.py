"""How far an evaluation is: a bar on stderr for each of its parts."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tqdm import tqdm

Count = Callable[[int], object]  # pictures done since the last call
Show = Callable[[str, int], AbstractContextManager[Count]]  # (part, pictures in all) -> what counts them


def say(line: str) -> None:
    """Write a line to stderr, where no result is, and above a bar."""
    tqdm.write(line, file=sys.stderr)


@contextmanager
def show_bar(part: str, total: int) -> Iterator[Count]:
    """Show a bar with the time that is left, until the context ends.

    Args:
        part: Written before the bar.
        total: What the counts add up to, at the latest when the context ends.
    """
    shape = "{desc} {percentage:3.0f}%|{bar:24}| {n_fmt} of {total_fmt}, {elapsed} done, {remaining} left"
    interval = 0.5 if sys.stderr.isatty() else 30.0
    with tqdm(total=total, desc=part, bar_format=shape, mininterval=interval) as bar:
        yield bar.update
        bar.update(total - bar.n)
