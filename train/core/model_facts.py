"""What trained files say of themselves, and whether they belong to a model bundle."""

from pathlib import Path
from typing import Any

from stylegan2.bundle.folder import ModelBundle
from stylegan2.errors import CheckpointError
from train.core.checkpoint import training_facts

KINDS = {
    "encoder": "an encoder",
    "contrastive": "a contrastive pair",
    "refiners": "refiners",
}  # by role in a bundle


def facts_for_model(file: Path, role: str, model: ModelBundle) -> dict[str, Any]:
    """`training_facts` of a file that was trained for the generator of `model`, as far as it says.

    Args:
        file: Trained weights.
        role: A key of `KINDS`.
        model: Whose generator they are used with.

    Raises:
        CheckpointError: The file is missing, damaged, or trained for another generator.
    """
    facts = training_facts(file, KINDS[role])
    if facts.get("generator_sha256", model.generator_sha256) != model.generator_sha256:
        raise CheckpointError(f"{file}: trained for another generator than that of {model.folder}")
    return facts
