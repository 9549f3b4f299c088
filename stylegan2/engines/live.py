"""LiveEngine: answers with torch at once and with OpenVINO as soon as that is ready."""

import threading
from pathlib import Path

from torch import Tensor, nn

from stylegan2.engines.engine import Engine, TorchEngine, engine_device
from stylegan2.engines.openvino import OpenVINOEngine
from stylegan2.errors import EngineError


class LiveEngine:
    """An `Engine` that becomes faster while it is used.

    On a CPU, "auto" starts with torch and `prepare` builds OpenVINO in the background; "openvino" builds it
    at once and waits; "torch" never tries. On a GPU torch is the engine. Where OpenVINO is missing or
    refuses, torch stays and `note` says so.

    Args:
        module: In evaluation mode.
        examples: One input [1, ...] each.
        device: One of `DEVICES`.
        engine: One of `ENGINES`.
        cache: Folder for converted graphs; None for the user's cache folder.

    Raises:
        EngineError: An unknown name, a device that is not there, or OpenVINO asked for on a GPU.
    """

    def __init__(
        self,
        module: nn.Module,
        examples: tuple[Tensor, ...],
        *,
        device: str = "auto",
        engine: str = "auto",
        cache: Path | None = None,
    ) -> None:
        self.device = chosen = engine_device(engine, device)
        self.note = ""
        self._module, self._examples, self._cache = module, examples, cache
        self._engine: Engine = TorchEngine(module, chosen)
        self._thread: threading.Thread | None = None
        self._soon = False  # whether a graph that is kept is being loaded, in a fraction of a second
        self._wanted = chosen.type == "cpu" and engine != "torch"
        if engine == "openvino":
            self.prepare()
            self.wait()

    def prepare(self) -> None:
        """Start building the faster engine in the background, if there is one and none is under way."""
        if self._wanted:
            self._wanted = False
            self._thread = threading.Thread(target=self._prepare, name="openvino", daemon=True)
            self._thread.start()

    def _prepare(self) -> None:
        try:
            fast = OpenVINOEngine(self._module, self._examples, folder=self._cache, kept=self._expect)
            fast.settle()
        except EngineError as error:
            self.note = f"{error}; rendering with torch instead."
        else:
            self._engine = fast

    def _expect(self, kept: bool) -> None:
        self._soon = kept

    @property
    def name(self) -> str:
        """Name of the engine that answers now."""
        return self._engine.name

    @property
    def converted(self) -> bool:
        """Whether a converted graph answers, which needs the module's weights no more."""
        return isinstance(self._engine, OpenVINOEngine)

    @property
    def preparing(self) -> bool:
        """Whether a faster engine is on its way."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> None:
        """Return when nothing is being prepared any more, or after `seconds`."""
        if self._thread is not None:
            self._thread.join(seconds)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the module on `inputs` with the fastest engine that is ready, or is about to be."""
        if self._soon and self.preparing:
            self.wait()
        return self._engine(*inputs)
