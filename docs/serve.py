"""Makes the pictures of docs/serve.md: the page of `regard serve` in Chromium, with an edit and its curve.

python docs/serve.py docs/images/serve.jpg
python docs/serve.py docs/images/serve-dark.jpg --dark --width 500 --height 1500
python docs/serve.py --measure          # how long a round trip takes beside the forward pass

The network is the small trained one that comes with the library. The state of the page is a link.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import io
import json
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from PIL import Image

from regard.serving.networks import Networks, named
from regard.serving.running import bound, server
from regard.serving.starting import studio
from regard.serving.studio import Studio

KEY = "aggregate.gates.1/spatial"
SHOWN = 3  # the photograph
CELLS = [8, 9]  # of 6 x 6: where the network looks at it most
PATIENCE = 120.0  # seconds that the page gets
READY = """
  document.querySelectorAll(".curve .key li").length === 4 && !document.querySelector(".picture.busy")
  && [...document.querySelectorAll(".photo canvas")]
    .every(each => each.getContext("2d").getImageData(9, 9, 1, 1).data[3])
"""
TRIPS = 40


@contextmanager
def served(session: Studio) -> Iterator[str]:
    """The address of a running server."""
    with bound(0) as ours:
        ours.listen()
        running, address = server(session, ours)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [ours]}, daemon=True)
        thread.start()
        yield address
        running.should_exit = True
        thread.join()


def link(session: Studio, address: str) -> str:
    """The page with one photograph, a painted mask and its curve."""
    state = {
        "image": session.photographs()[SHOWN].id,
        "key": KEY,
        "edits": [{"key": KEY, "kind": "mask", "shape": [6, 6], "off": CELLS}],
        "curve": True,
    }
    plain, _, token = address.partition("#")
    return f"{plain}#{token}&{urlencode({'state': json.dumps(state)})}"


def browser(profile: Path) -> Any:
    """Chromium, driven as the tests of pages drive it."""
    place = Path(__file__).parents[1] / "tests" / "rooms" / "conftest.py"
    spec = importlib.util.spec_from_file_location("browser_of_the_tests", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Browser(profile)


def picture(target: Path, *, width: int, height: int, dark: bool) -> None:
    """Photographs the page as soon as everything on it has come. Raises: TimeoutError if it does not come."""
    session = studio(Networks(named()))
    with served(session) as address, tempfile.TemporaryDirectory() as folder:
        opened = browser(Path(folder))
        try:
            opened.open(link(session, address), width=width, scheme="dark" if dark else "light")
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            opened.send("Emulation.setDeviceMetricsOverride", **size)
            end = time.monotonic() + PATIENCE
            while not opened(READY):
                if time.monotonic() > end:
                    raise TimeoutError(f"the page is not ready after {PATIENCE:g} s")
                time.sleep(0.2)
            time.sleep(1)  # the bars have a transition
            shot = base64.b64decode(opened.send("Page.captureScreenshot", format="png")["data"])
        finally:
            opened.close()
    with Image.open(io.BytesIO(shot)) as shown:
        shown.convert("RGB").save(target, quality=86, optimize=True)


def measure() -> None:
    """Prints what a pass with an edit takes, over HTTP, beyond its forward pass."""
    session = studio(Networks(named()))
    with served(session) as address:
        plain, _, token = address.partition("#token=")
        asked = {"model": {"run": 0}, "image": session.photographs()[0].id}
        asked["edits"] = [{"key": KEY, "kind": "temperature", "value": 2}]
        trips, beyond, busy = [], [], time.process_time()
        for _ in range(TRIPS):
            request = urllib.request.Request(
                f"{plain}pass",
                json.dumps(asked).encode(),
                {"x-regard-token": token, "content-type": "application/json"},
            )
            start = time.perf_counter()
            with urllib.request.urlopen(request) as answer:
                made = json.load(answer)
            for key in [each["key"] for each in made["maps"]]:
                path = f"{plain}map/{made['pass']}/{key}"
                urllib.request.urlopen(urllib.request.Request(path, headers={"x-regard-token": token})).read()
            trips.append(1000 * (time.perf_counter() - start))
            beyond.append(trips[-1] - 1000 * made["forward"])
        busy = (time.process_time() - busy) / TRIPS
    print(f"round trip with {len(made['maps'])} slices: median {statistics.median(trips):.0f} ms")
    worst = sorted(beyond)[int(0.9 * TRIPS)]
    print(f"beyond the forward pass: median {statistics.median(beyond):.0f} ms, 9 of 10 below {worst:.0f} ms")
    print(f"processor time of a round trip, with the forward pass and this client: {1000 * busy:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, nargs="?", help="the picture, a .jpg or .png file")
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--height", type=int, default=1290)
    parser.add_argument("--dark", action="store_true", help="dark colours")
    parser.add_argument("--measure", action="store_true", help="measure in place of a picture")
    given = parser.parse_args()
    if given.measure:
        measure()
    elif given.target is not None:
        picture(given.target, width=given.width, height=given.height, dark=given.dark)
    else:
        parser.error("a file for the picture, or --measure, is needed")


if __name__ == "__main__":
    main()
