"""Starting the server: a free port on this machine alone, a new token, and the address to open."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

import uvicorn

from regard.serving.app import create
from regard.serving.studio import Studio

HOST = "127.0.0.1"
PORT = 8130


def bound(port: int) -> socket.socket:
    """A socket on this machine alone.

    Args:
        port: the number; 0 for any that is free.

    Raises: OSError if another program has the port.
    """
    found = socket.socket()
    try:
        found.bind((HOST, port))
    except OSError as error:
        found.close()
        raise OSError(f"--port={port}: it is in use; --port 0 takes any that is free") from error
    return found


def server(studio: Studio, ours: socket.socket) -> tuple[uvicorn.Server, str]:
    """A server on a socket, not yet running, and the address of its page, which holds a new token.

    Args:
        studio: what is shown.
        ours: the socket, bound.
    """
    port, token = ours.getsockname()[1], secrets.token_urlsafe(24)
    app = create(studio, token=token, port=port)
    settings = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none")
    return uvicorn.Server(settings), f"http://{HOST}:{port}/#token={token}"


def run(studio: Studio, *, port: int = PORT, ready: Callable[[str], None]) -> None:
    """Serves until it is interrupted.

    Args:
        studio: what is shown.
        port: on which it is reached; 0 for any that is free.
        ready: is called with the address of the page as soon as the port is ours.

    Raises: OSError if another program has the port.
    """
    with bound(port) as ours:
        made, address = server(studio, ours)
        ours.listen()
        ready(address)
        made.run(sockets=[ours])
