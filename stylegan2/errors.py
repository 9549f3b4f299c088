"""Errors of the project: every one names the thing, what was found and what is allowed."""


class StyleGANError(Exception):
    """Base of every error that the project raises on purpose; its text is meant for people."""


class ShapeError(StyleGANError, ValueError):
    """A tensor does not have the documented shape."""

    def __init__(self, name: str, actual: tuple[int, ...], expected: str) -> None:
        super().__init__(f"{name}: expected {expected}, got {list(actual)}")
        self.name, self.actual, self.expected = name, actual, expected


class CheckpointError(StyleGANError, RuntimeError):
    """A weights file is missing, damaged, or not what it should be."""


class ConfigError(StyleGANError, ValueError):
    """A setting is unknown, missing, of the wrong type or out of range."""


class EngineError(StyleGANError, RuntimeError):
    """An inference engine or device was asked for by name and cannot be used."""
