"""Brings the JavaScript packages of the page of `regard serve`, pinned by name, version and digest.

python docs/vendoring.py            # writes them into src/regard/serving/web/vendor, with their licences
python docs/vendoring.py --check    # compares what is there

Needs `npm`, whose own configuration says where packages come from. A package is unpacked only if its archive has the
digest below. Two things are changed: Preact's hooks import "preact" by a bare name, which a browser does not resolve
without an import map, and comments that name source maps are left out, since those are not shipped.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "src" / "regard" / "serving" / "web" / "vendor"


@dataclass(frozen=True)
class Package:
    """A package of npm's.

    Args:
        name: `name@version`.
        sha512: the digest of its archive, as npm's `integrity` gives it.
        files: member of the archive -> the file's name here.
    """

    name: str
    sha512: str
    files: dict[str, str]


PACKAGES = (
    Package(
        "preact@11.2.0",
        "/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
        {
            "dist/preact.mjs": "preact.js",
            "hooks/dist/hooks.mjs": "hooks.js",
            "LICENSE": "preact.LICENSE.txt",
        },
    ),
    Package(
        "htm@3.1.1",
        "983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        {"dist/htm.module.js": "htm.js", "LICENSE": "htm.LICENSE.txt"},
    ),
    Package(
        "uplot@1.6.32",
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {"dist/uPlot.iife.min.js": "uplot.js", "dist/uPlot.min.css": "uplot.css", "LICENSE": "uplot.LICENSE.txt"},
    ),
)


def archive(package: Package, folder: Path) -> bytes:
    """The archive of a package. Raises: ValueError if its digest is another one."""
    packed = subprocess.run(
        ["npm", "pack", "--silent", package.name], cwd=folder, check=True, capture_output=True, text=True
    )
    content = (folder / packed.stdout.split()[-1]).read_bytes()
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != package.sha512:
        raise ValueError(f"{package.name}: its archive has the digest {found}, and {package.sha512} is needed")
    return content


EXPORTED = {"uplot.js": b"export default uPlot;\n"}


def members(package: Package, content: bytes) -> dict[str, bytes]:
    """The files of a package as they are shipped, by their names here."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as packed:
        for member, name in package.files.items():
            opened = packed.extractfile(f"package/{member}")
            assert opened is not None
            found[name] = shipped(opened.read()) + EXPORTED.get(name, b"")
    return found


def shipped(content: bytes) -> bytes:
    """A file without the name of its source map, and with imports that a browser resolves."""
    content = re.sub(rb"\n?//# sourceMappingURL=\S+\s*$", b"\n", content)
    return re.sub(rb'from\s*"preact"', b'from"./preact.js"', content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args().check
    VENDOR.mkdir(parents=True, exist_ok=True)
    differing = []
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            content = archive(package, Path(folder))
        for name, text in members(package, content).items():
            path = VENDOR / name
            if check:
                differing += [] if path.is_file() and path.read_bytes() == text else [name]
            else:
                path.write_bytes(text)
                print(f"{name}: {len(text)} bytes, sha256 {hashlib.sha256(text).hexdigest()}")
    if differing:
        sys.exit(f"these files are not those of npm: {', '.join(differing)}")


if __name__ == "__main__":
    main()
