"""Where uploads arrive: every file in a folder of its own."""

import contextlib
import secrets
import shutil
from pathlib import Path

from gradio.route_utils import upload_fn
from gradio.routes import file_upload_statuses
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from editor.ui.serving.doors import BAD_REQUEST, TOO_LARGE

PATH = "/gradio_api/upload"
MAX_BYTES = 30 * 2**20  # of one file
ALIAS = "uploaded:"  # begins what an upload is called by its page


def upload_route() -> Route:
    """The door for uploads, in the place of Gradio's own.

    That keeps equal files of two visitors as one, by their hash: who leaves takes along what another has just
    sent and nobody has read yet.
    """
    return Route(PATH, _receive, methods=["POST"])


async def _receive(request: Request) -> Response:
    folder = Path(request.app.uploaded_file_dir) / secrets.token_urlsafe(16)
    folder.mkdir(parents=True)
    upload, kept = request.query_params.get("upload_id"), False
    try:
        files, *_ = await upload_fn(
            request,
            str(folder),
            MAX_BYTES,
            upload,
            force_move=True,
            upload_progress=file_upload_statuses if upload else None,
        )
        kept = True
    except TypeError:  # Gradio's word for a field "files" that is none
        return PlainTextResponse("files: must be files\n", status_code=BAD_REQUEST)
    except MultiPartException as error:
        too_large = "maximum allowed size" in error.message
        return PlainTextResponse(error.message, status_code=TOO_LARGE if too_large else BAD_REQUEST)
    finally:
        if not kept:  # refused, or broken off on its way
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # it holds what was sent
            folder.rmdir()
    # Where they lie is nobody's business: pages name them by what `real_path` turns back.
    home = Path(request.app.uploaded_file_dir)
    return JSONResponse([ALIAS + Path(file).relative_to(home).as_posix() for file in files])


def real_path(name: str, home: Path) -> str:
    """The path of an uploaded file that the door for uploads has named.

    Args:
        name: As it answered; anything else is answered as it is, and refused by Gradio.
        home: Folder of all uploads.
    """
    if not name.startswith(ALIAS):
        return name
    home = home.resolve()
    path = (home / name.removeprefix(ALIAS)).resolve()
    return str(path) if home in path.parents else name
