"""Files of Hugging Face repositories, fetched once, and from where an earlier attempt broke off."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from editor.errors import ModelSourceError
from stylegan2.bundle.checkpoint import file_sha256
from stylegan2.engines.cache import cache_folder

Report = Callable[[str], None]  # is told what goes on, in a few words

# Read once, at the library's import: without it the library counts downloads for its makers.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


class Repository:
    """One repository of models, at its newest commit.

    Args:
        repo_id: "owner/name".
        report: Told how downloads go.
        endpoint: Of Hugging Face, or of a mirror; None for the usual one.
        folder: Where files are kept; None for the user's cache folder.

    Raises:
        ModelSourceError: It is not there, not open to the user, or cannot be reached.
    """

    def __init__(
        self, repo_id: str, report: Report, *, endpoint: str | None = None, folder: Path | None = None
    ) -> None:
        from huggingface_hub import HfApi

        self.repo_id, self._report, self._endpoint = repo_id, report, endpoint
        report(f"Asking Hugging Face for {repo_id}")
        about = self._asked(lambda: HfApi(endpoint=endpoint).model_info(repo_id))
        self.files = [file.rfilename for file in about.siblings or ()]
        self._commit = str(about.sha)
        self._folder = (folder or cache_folder() / "models") / repo_id.replace("/", "--") / self._commit

    def fetch(self, name: str) -> Path:
        """The file `name` on this disk; what is there already is not fetched again.

        Raises:
            ModelSourceError: There is no such file, it cannot be reached, or it arrived damaged.
        """
        target = self._folder / name
        if name not in self.files or not target.resolve().is_relative_to(self._folder.resolve()):
            raise ModelSourceError(f"{self.repo_id}: has no file {name!r}")
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.partial")
            self._asked(lambda: self._download(name, partial))
            partial.replace(target)
        return target

    def fetch_all(self, names: list[str]) -> Path:
        """The folder that holds the files `names`, see `fetch`."""
        for name in names:
            self.fetch(name)
        return self._folder

    def _download(self, name: str, partial: Path) -> None:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        url = hf_hub_url(self.repo_id, name, revision=self._commit, endpoint=self._endpoint)
        there = get_hf_file_metadata(url, endpoint=self._endpoint)
        headers = build_hf_headers()
        if urlsplit(there.location).netloc != urlsplit(url).netloc:
            headers.pop("authorization", None)  # the user's key is for the hub, not for where its files lie
        start = partial.stat().st_size if partial.is_file() else 0
        if there.size is not None and start > there.size:
            start = 0
        with partial.open("ab" if start else "wb") as file:
            http_get(
                there.location,
                file,
                resume_size=start,
                headers=headers,
                expected_size=there.size,
                displayed_filename=name,
                tqdm_class=_reporting_bar(self._report),
            )
        # Large files are named by their sha256 there.
        if there.etag and re.fullmatch("[0-9a-f]{64}", there.etag) and file_sha256(partial) != there.etag:
            partial.unlink()
            raise ModelSourceError(f"{self.repo_id}: {name} arrived damaged; try again")

    def _asked(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401
        """The answer to `ask`, or what went wrong in one sentence."""
        from huggingface_hub import errors

        name = self.repo_id
        try:
            return ask()
        except ModelSourceError:
            raise
        except errors.GatedRepoError:
            told = f"{name}: its owner wants to be asked first; then log in with `hf auth login`"
        except errors.RepositoryNotFoundError:
            told = f"{name}: neither a file here nor a repository of Hugging Face that is open to you"
        except (errors.HTTPError, OSError, ValueError) as error:  # type: ignore[attr-defined]
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            told = f"{name}: no such file here, and Hugging Face cannot be reached ({first[:160]})"
        raise ModelSourceError(told)


def _reporting_bar(report: Report) -> type[Any]:
    """A progress bar that draws nothing and tells `report` instead."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[type-arg,misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": False, "file": _Nowhere()})

        def update(self, n: float | None = 1) -> bool | None:
            drawn: bool | None = super().update(n)
            if self.total:
                report(f"Downloading: {self.n / 1e6:.0f} of {self.total / 1e6:.0f} MB")
            return drawn

    return Bar


class _Nowhere:
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass
