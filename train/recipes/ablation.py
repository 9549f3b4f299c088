"""Print the table of an ablation: `python -m train.recipes.ablation RUNS`."""

import json
import sys
from pathlib import Path

SPACES = ("w", "w+", "f")


def table(folder: Path) -> str:
    """Markdown: a row for every subfolder with an `evaluation.json`, in the order in which they were made.

    Args:
        folder: That of `ablation.sh`.
    """
    head = ["variant", *(f"{space}, dB" for space in SPACES)]
    head += [f"edited {space}, dB" for space in SPACES] + ["identity of f"]
    rows = [head, ["---"] * len(head)]
    for file in sorted(folder.glob("*/evaluation.json"), key=lambda file: file.stat().st_mtime):
        found = json.loads(file.read_text(encoding="utf-8"))
        spaces, edits = found["spaces"], found["edits"]
        values = [spaces[space]["psnr_median"] for space in SPACES]
        values += [edits[space]["psnr_median"] for space in SPACES]
        identity = spaces["f"]["identity_median"]
        shown = identity if isinstance(identity, str) else f"{identity:.2f}"
        rows.append([file.parent.name, *(f"{value:.2f}" for value in values), shown])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1])) + "\n")
