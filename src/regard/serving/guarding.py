"""Who may ask the server, and for how much: a layer around the application.

A page of another site cannot read an answer, since it has neither the token nor the permission of a browser; it cannot
reach the server under another host name (DNS rebinding), since the host is checked; and no request may send more than
its route accepts.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "x-regard-token"
JSON_BODY = 2 * 2**20  # bytes of a request that is no photograph
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Refused(Exception):
    """A request that is not answered: the status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Guard:
    """Checks host, origin, token and size of every request, and adds the headers of safety to every answer.

    Args:
        app: the application.
        hosts: values of the header Host that are accepted, as `127.0.0.1:8130`.
        token: what the header X-Regard-Token has to be, on all but the public paths.
        public: paths of files that hold no data of the user, answered without a token.
        limits: path -> the largest number of bytes of a request, where it is not `JSON_BODY`.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: frozenset[str], token: str, public: frozenset[str], limits: Mapping[str, int]
    ) -> None:
        self.app = app
        self.hosts = hosts
        self.token = token.encode()
        self.public = public
        self.limits = dict(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks another protocol
            return
        guarded = _with_headers(send)
        try:
            limit = self._checked(scope)
            await self.app(scope, _limited(receive, limit), guarded)
        except Refused as refused:
            await _answer(guarded, refused)

    def _checked(self, scope: Scope) -> int:
        """The largest number of bytes that the request may send. Raises: Refused."""
        headers: dict[str, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value)
        host = headers.get("host", [])
        if len(host) != 1 or host[0].decode("latin-1").lower() not in self.hosts:
            raise Refused(421, "the server answers under its own address only")
        for origin in headers.get("origin", []):
            if origin.decode("latin-1").lower() not in {f"http://{name}" for name in self.hosts}:
                raise Refused(403, "requests of other sites are not answered")
        if scope["path"] not in self.public:
            given = headers.get(TOKEN, [])
            if len(given) != 1 or not hmac.compare_digest(given[0], self.token):
                raise Refused(401, "the token is missing or wrong: open the address that `regard serve` printed")
        limit = self.limits.get(scope["path"], JSON_BODY)
        for length in headers.get("content-length", []):
            if not length.isdigit() or int(length) > limit:
                raise Refused(413, too_large(limit))
        return limit


def too_large(limit: int) -> str:
    """The reason why a request is refused that sends more."""
    return f"too large: up to {limit // 2**20} MB are accepted"


def _limited(receive: Receive, limit: int) -> Receive:
    """Receives no more than the limit, also where no length was declared. Raises: Refused."""
    got = 0

    async def limited() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise Refused(413, too_large(limit))
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def added(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return added


async def _answer(send: Send, refused: Refused) -> None:
    body = json.dumps({"error": refused.reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
