"""The routes of `regard serve`.

    GET    /                      the page, and its files by their names
    GET    /catalogue             networks, photographs in memory, colours
    POST   /images                the bytes of a photograph -> its id
    GET    /images/{id}           its thumbnail
    DELETE /images                forgets all photographs and passes
    POST   /pass                  {model, image, edits, alpha} -> prediction and list of maps
    POST   /faithful              as /pass, with the key of a map -> curves, one JSON value a line as they come
    POST   /doctor                {model, image} -> findings
    GET    /seen/{pass}           what the network saw
    GET    /map/{pass}/{key}      ?look&head&query -> one slice of a map, as float16

No route takes a path: files of the page are held in memory, everything else is looked up by its id.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import unquote

import numpy as np
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from regard import __version__
from regard.data.images import FORMATS
from regard.serving.guarding import Guard
from regard.serving.slices import Slice
from regard.serving.studio import UPLOAD, Missing, Studio
from regard.viewing.colours import scale

HOSTS = ("127.0.0.1", "localhost")
KINDS = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
}


@cache
def page() -> dict[str, tuple[bytes, str]]:
    """The files of the page by their paths, each with its type."""
    found = {}
    for folder in ("", "vendor/"):
        for file in resources.files("regard.serving").joinpath("web", folder).iterdir():
            kind = KINDS.get("." + file.name.rpartition(".")[2])
            if file.is_file() and kind is not None:
                found[f"/{folder}{file.name}"] = file.read_bytes(), kind
    found["/"] = found.pop("/index.html")
    return found


def create(studio: Studio, *, token: str, port: int) -> Starlette:
    """The application.

    Args:
        studio: what it shows.
        token: what every request for data has to send.
        port: on which it is reached, a part of the host that is accepted.
    """
    worker = ThreadPoolExecutor(1, "regard")  # one pass at a time, all by the same thread

    async def away(work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(worker, work)

    def file(request: Request) -> Response:
        content, kind = page()[request.url.path]
        return Response(content, media_type=kind)

    async def catalogue(request: Request) -> Response:
        return JSONResponse(await away(lambda: _catalogue(studio)))

    async def add(request: Request) -> Response:
        name = unquote(request.headers.get("x-name", ""))[:200] or "photograph"
        content = await request.body()
        photograph = await away(lambda: studio.add(content, name))
        return JSONResponse(photograph.facts())

    async def forget(request: Request) -> Response:
        await away(studio.forget)
        return Response(status_code=204)

    async def thumbnail(request: Request) -> Response:
        return Response(await away(lambda: studio.thumbnail(request.path_params["id"])), media_type="image/png")

    async def run(request: Request) -> Response:
        asked = await _json(request)
        made = await away(lambda: studio.run(asked))
        return JSONResponse({"pass": made.id, "forward": made.forward, **made.answer})

    async def follow(request: Request) -> Response:
        asked = await _json(request)
        lines = studio.followed(asked)
        first = await away(lambda: next(lines, None))  # its errors are answered as such

        async def written() -> AsyncIterator[bytes]:
            found = first
            while found is not None:
                yield json.dumps(found).encode() + b"\n"
                try:
                    found = await away(lambda: next(lines, None))
                except (LookupError, ValueError, RuntimeError) as error:
                    yield json.dumps({"error": _line(error)}).encode() + b"\n"
                    return

        return StreamingResponse(written(), media_type="application/x-ndjson")

    async def examine(request: Request) -> Response:
        asked = await _json(request)
        return JSONResponse({"findings": await away(lambda: studio.examined(asked))})

    async def seen(request: Request) -> Response:
        return Response(await away(lambda: studio.picture(request.path_params["id"])), media_type="image/png")

    async def cut(request: Request) -> Response:
        numbers = {name: _number(request, name) for name in ("look", "head", "query")}
        found = await away(
            lambda: studio.cut(
                request.path_params["id"],
                request.path_params["key"],
                look=numbers["look"] or 0,
                part=numbers["head"],
                query=numbers["query"],
            )
        )
        return _slice(found)

    routes = [
        *(Route(path, file) for path in page()),
        Route("/catalogue", catalogue),
        Route("/images", add, methods=["POST"]),
        Route("/images", forget, methods=["DELETE"]),
        Route("/images/{id}", thumbnail),
        Route("/pass", run, methods=["POST"]),
        Route("/faithful", follow, methods=["POST"]),
        Route("/doctor", examine, methods=["POST"]),
        Route("/seen/{id}", seen),
        Route("/map/{id}/{key:path}", cut),
    ]
    guard = Middleware(
        Guard,
        hosts=frozenset(f"{host}:{port}" for host in HOSTS),
        token=token,
        public=frozenset(page()),
        limits={"/images": UPLOAD},
    )
    return Starlette(routes=routes, middleware=[guard], exception_handlers=_told())


def _catalogue(studio: Studio) -> dict[str, Any]:
    return {
        "version": __version__,
        **studio.networks.facts(),
        "images": [photograph.facts() for photograph in studio.photographs()],
        "formats": list(FORMATS),
        "colours": scale().tobytes().hex(),
    }


async def _json(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises: ValueError if it is none."""
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ValueError("a JSON object is accepted") from None
    if not isinstance(found, dict):
        raise ValueError("a JSON object is accepted")
    return found


def _number(request: Request, name: str) -> int | None:
    """A whole number of the query; None where it is not given. Raises: ValueError for other text."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not (text.isdecimal() and text.isascii() and len(text) < 10):
        raise ValueError(f"{name}={text[:20]!r}: a whole number is accepted")
    return int(text)


def _slice(found: Slice) -> Response:
    """A slice as little-endian float16, divided by a power of two so that none of its values overflows."""
    largest = float(found.values.abs().max())
    power = 2.0 ** math.frexp(largest)[1] if 0 < largest < math.inf else 1.0
    facts = {
        "shape": list(found.values.shape),
        "scale": power,
        "ends": [end if math.isfinite(end) else 0.0 for end in found.ends],
        "even": found.even,
        "tokens": list(found.tokens),
    }
    body = (found.values.numpy() / power).astype(np.dtype("<f2")).tobytes()
    return Response(body, media_type="application/octet-stream", headers={"x-slice": json.dumps(facts)})


def _line(error: Exception) -> str:
    """An error as one line."""
    reason = error.args[0] if isinstance(error, LookupError) and error.args else error
    return " ".join(str(reason).split())[:500] or type(error).__name__


def _told() -> dict[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """How errors are answered: what was asked wrongly with its reason, everything else without its inside."""

    def by(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def answer(request: Request, error: Exception) -> Response:
            return JSONResponse({"error": _line(error)}, status_code=status)

        return answer

    return {
        Missing: by(410),
        LookupError: by(404),
        ValueError: by(400),
        TypeError: by(400),
        OSError: by(400),
        RuntimeError: by(400),
    }
