"""Networks that look like a StyleGAN2 from afar: told by their entries, and refused by their own name."""

import re
from collections.abc import Collection

from stylegan2.errors import CheckpointError

_ONLY = "only StyleGAN2 with RGB skips runs here"
# Pattern of an entry that no other network has -> what it is. The first that is found decides.
_STRANGERS: tuple[tuple[str, str], ...] = (
    (
        r"(G|GE)\.(initial_block|to_initial_block\.|initial_conv\.)",
        "a network of lucidrains' stylegan2-pytorch",
    ),
    (r".*relative_position_bias_table$", "a StyleSwin generator"),
    (r"stylegan_decoder\.", "a GFPGAN network, which restores photos and draws nothing of its own"),
    (r"style_conv1\.bias$", "GFPGAN's clean generator, whose layers are scaled otherwise"),
    (r"mapping\.embed_proj\.", "a StyleGAN-XL generator"),
    (r"synthesis\.(L\d+_|input\.)", "a StyleGAN3 generator"),
    (r".*(\bstyle_mod\.|\bStyleMod/|\bprogression\.)", "a StyleGAN1 generator"),
    (r"synthesis\.b\d+\.skip\.|.*\d+x\d+/Skip/", "a generator of the 'resnet' architecture"),
)
# The same by the class of a pickled module.
_CLASSES = {"SuperresGenerator": "a StyleGAN-XL generator"}


def refuse_strangers(names: Collection[str], title: str) -> None:
    """Refuse a network that is known and no StyleGAN2 with RGB skips.

    Args:
        names: Of its entries.
        title: Where they were found, for people.

    Raises:
        CheckpointError: It is one, by its name.
    """
    own = re.split(r"[ .]", title)[-1]
    if own in _CLASSES or "stylegan3" in title:
        raise CheckpointError(f"{_CLASSES.get(own, 'a StyleGAN3 generator')} ({title}): {_ONLY}")
    for pattern, what in _STRANGERS:
        if any(re.match(pattern, name) for name in names):
            raise CheckpointError(f"{what} ({title}): {_ONLY}")
