"""Stock MicroPython images: pinned by version and SHA-256, from a cache, a file, or the net."""

from __future__ import annotations

import hashlib
import os
import tempfile
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sigap.problem import MISSING, USAGE, Problem

TABLE = Path(__file__).with_name("images.toml")
LIMIT_BYTES = 4 << 20
LIMIT_S = 30.0  # without a byte
# Espressif, esp_image_format: byte 0 is the magic, bytes 12 and 13 the chip's id.
MAGIC, CHIP_IDS = 0xE9, {"esp32": 0, "esp32s3": 9}


@dataclass(frozen=True)
class Image:
    """offset: in flash, bytes. sha256: "" when nobody has pinned it."""

    chip: str
    version: str
    file: str
    url: str
    offset: int
    sha256: str


def cache_folder() -> Path:
    """Where images lie: SIGAP_IMAGES, or sigap/micropython in the user's cache."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("SIGAP_IMAGES") or base / "sigap" / "micropython")


def find(name: str) -> Image:
    """The image that a board names."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    if name not in table:
        raise Problem(f"{TABLE.name} has no image {name}", f"It has {', '.join(table)}: correct the board's `image`")
    return Image(**table[name])


def _sha256(path: Path) -> str:
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise Problem(f"{path} has more than {LIMIT_BYTES >> 20} MB", "Name a MicroPython image", USAGE)
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Problem(f"the image {path} cannot be read ({error.strerror})", "Name another file", USAGE) from error


def _checked(path: Path, image: Image, wanted: str) -> Path:
    """The path, when its content is what it should be, and for this chip."""
    found = _sha256(path)
    if found != wanted.lower():
        raise Problem(
            f"{path} has the SHA-256 {found}, not {wanted.lower()}",
            "It is damaged or another version: delete it and get it again",
        )
    head = path.read_bytes()[:14]
    if len(head) < 14 or head[0] != MAGIC:
        raise Problem(f"{path} is no image for an ESP32", "Name the .bin file of micropython.org", USAGE)
    if int.from_bytes(head[12:14], "little") != CHIP_IDS[image.chip]:
        raise Problem(f"{path} is for another chip than the {image.chip}", "Name the image of this board", USAGE)
    return path


def get(image: Image, file: Path | None, sha256: str | None, say: Callable[[str], None] = print) -> Path:
    """The image's file, its SHA-256 compared: `file`, or the cache, or fetched into it.

    sha256: overrides the pinned one, which is needed where none is pinned, and for another file.
    """
    path = file or cache_folder() / image.file
    wanted = sha256 or ("" if file and file.name != image.file else image.sha256)
    if not wanted:
        raise Problem(
            f"the SHA-256 of {path.name} is not known",
            "Take it from a source that you trust and give it by --sha256, or pin it in hardware/flashing/images.toml",
            USAGE,
        )
    if file is None and not path.exists():
        say(f"fetching MicroPython {image.version} from {image.url}")
        _fetch(image.url, path)
        try:
            return _checked(path, image, wanted)
        except Problem:
            path.unlink()
            raise
    return _checked(path, image, wanted)


def _fetch(url: str, path: Path) -> None:
    """Download to `path`, whole or not at all. Problem says how to do it by hand."""
    by_hand = f"Download it on a machine that can, and put it at {path}, or give it by --image"
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as out:
            part = Path(out.name)
            with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
                while block := answer.read(65536):
                    out.write(block)
                    if out.tell() > LIMIT_BYTES:
                        raise Problem(f"{url} has more than {LIMIT_BYTES >> 20} MB", by_hand, MISSING)
        os.replace(part, path)
        part = None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise Problem(f"{url} cannot be fetched ({reason})", by_hand, MISSING) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
