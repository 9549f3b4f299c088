"""Check a published file entry by entry: `python -m inversion.published FILE`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from inversion.published.loading import load_contrastive, load_published
from stylegan2.command import exit_status
from stylegan2.layouts import build_generator, recognise
from stylegan2.reading import read_document


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(prog="python -m inversion.published", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="of CLCAE, pSp or e4e")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report on a file; what does not fit ends with one line on stderr."""
    options = build_parser().parse_args(arguments)
    return exit_status(lambda: _report(options.file))


def _report(file: Path) -> None:
    found = recognise(read_document(file))
    if found.layout == "clcae-contrastive":
        report = load_contrastive(found).report
    else:
        loaded = build_generator(found)
        report = f"{load_published(found, loaded.generator).report}; generator's w_avg: {loaded.w_avg_source}"
    print("\n".join(report.split("; ")))


if __name__ == "__main__":
    sys.exit(main())
