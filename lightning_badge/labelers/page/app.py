"""The routes of the page: itself, its pictures and its calls."""

import asyncio
import hashlib
import json
import logging
import mimetypes
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lightning_badge.exceptions import BadgeError
from lightning_badge.labelers.page.address import Address
from lightning_badge.labelers.page.api import NAMES, Api
from lightning_badge.labelers.page.calls import CallError
from lightning_badge.labelers.page.security import Guard
from lightning_badge.labelers.pictures import PictureError, picture_of

STATIC = Path(__file__).parent / "static"
_FOR_EVER = "private, max-age=31536000, immutable"
_PICTURE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
_PICTURES_AT_ONCE = 2
_KINDS = {".js": "text/javascript", ".svg": "image/svg+xml"}
_log = logging.getLogger(__name__)


def make_app(api: Api, address: Address, *, static: Path = STATIC) -> Starlette:
    """Returns the application.

    Args:
        api: Answers the calls.
        address: Where the page is served.
        static: The folder of the page's own files, which are read now.
    """
    files = {path.name: _StaticFile(path) for path in static.glob("*") if path.is_file()}
    pictures = _Pictures(api)

    async def index(request: Request) -> Response:
        return _static(request, files.get("index.html"))

    async def static_file(request: Request) -> Response:
        return _static(request, files.get(request.path_params["name"]))

    return Starlette(
        routes=[
            Route("/", index),
            Route("/static/{name}", static_file),
            Route("/sample/{key}", pictures.send),
            *(Route(f"/api/{name}", _call(api, name), methods=["POST"]) for name in NAMES),
        ],
        middleware=[Middleware(Guard, address=address)],
        exception_handlers={404: _not_found, 405: _not_found},
    )


class _StaticFile:
    """A file of the page."""

    def __init__(self, path: Path) -> None:
        guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self.kind = _KINDS.get(path.suffix, guessed)
        self.content = path.read_bytes()
        self.tag = f'"{hashlib.blake2b(self.content, digest_size=16).hexdigest()}"'


def _static(request: Request, file: _StaticFile | None) -> Response:
    if file is None:
        return _error(404, "there is no such file")
    headers = {"etag": file.tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.kind, headers=headers)


class _Pictures:
    """Sends pictures; at most two are decoded at a time."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._decoders = ThreadPoolExecutor(_PICTURES_AT_ONCE, "pictures")

    async def send(self, request: Request) -> Response:
        run = await self._api.opened()
        sample_id = None if run is None else run.samples.id_of(request.path_params["key"])
        source = None if run is None or sample_id is None else run.samples.picture(sample_id)
        if source is None:
            return _error(404, "there is no picture with this key")
        full = request.query_params.get("full") == "1"
        loop = asyncio.get_running_loop()
        try:
            picture = await loop.run_in_executor(
                self._decoders, lambda: picture_of(source, full=full)
            )
        except PictureError as error:
            return _error(404, f"sample {sample_id!r}: {error}")
        return Response(
            picture.content,
            media_type=picture.media_type,
            headers={"cache-control": _FOR_EVER, "content-security-policy": _PICTURE_POLICY},
        )


def _call(api: Api, name: str) -> Callable[[Request], Awaitable[Response]]:
    async def call(request: Request) -> Response:
        try:
            body = _object(await request.body())
            return JSONResponse(await api.call(name, body))
        except CallError as error:
            return _error(error.status, str(error))
        except BadgeError as error:
            _log.error("%s: %s", name, error)
            return _error(503, "the server cannot read or write its store; it tries again")

    return call


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CallError("expected a JSON object") from error
    if not isinstance(body, dict):
        raise CallError("expected a JSON object")
    return body


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)


async def _not_found(_: Request, error: Exception) -> Response:
    return _error(getattr(error, "status_code", 404), "there is nothing at this address")
