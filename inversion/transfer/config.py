"""Settings of the transfer network."""

from dataclasses import dataclass

from stylegan2.settings import require

WAYS = 2  # that a face is drawn in: with what was found in F, and by its styles alone
SIDE = 128  # px: the transfer is decided at this resolution, whatever the model's


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """Architecture of a `TransferNetwork`."""

    channels: tuple[int, ...] = (32, 64, 96, 128)  # at 1/2, 1/4, 1/8 and so on of `SIDE`
    learned_flow: bool = True  # False: the flow is given, for comparison
    most_flow: float = 24.0  # px of `SIDE` that anything may move

    def __post_init__(self) -> None:
        require(2 <= len(self.channels) <= 5, f"channels: {len(self.channels)} levels; must be 2 to 5")
        require(all(c >= 8 for c in self.channels), f"channels: {self.channels}; must be at least 8 each")
        require(0 < self.most_flow <= SIDE, f"most_flow: {self.most_flow}; must be in (0, {SIDE}]")
