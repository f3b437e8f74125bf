"""Makes firmware/panic_wire/vectors.json and docs/api/phone-vectors.json.

python tests/contract/make_vectors.py [--check | --worked]

The frames come from wire_cases.py by way of wire_encoder.py, the RFCs' vectors from wire_published.py;
nothing of panic_wire is imported.

--check: exit 1 when the file is not what this makes. --worked: print the numbers of CONTRACT.md's example.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

sys.path.insert(0, str(Path(__file__).resolve().parent))
import wire_compact
import wire_phone
import wire_published
from wire_cases import bad, good
from wire_encoder import DEVICE, OTHER_ROOT, ROOT, U32, derive

TOP = Path(__file__).resolve().parents[2]
TARGET = TOP / "firmware" / "panic_wire" / "vectors.json"
PHONE_TARGET = TOP / "docs" / "api" / "phone-vectors.json"


def published_vectors() -> tuple[list[dict], list[dict]]:
    """The RFCs' vectors, each one checked against cryptography on the way."""
    ccm, hkdf = [], []
    for number, (key, nonce, aad, text, out, tag) in enumerate(wire_published.CCM, 1):
        mine = AESCCM(bytes.fromhex(key), tag).encrypt(*(bytes.fromhex(h) for h in (nonce, text, aad)))
        assert mine.hex() == out, f"RFC 3610 packet vector {number}"
        ccm.append(
            {
                "source": f"RFC 3610 packet vector {number}",
                "key": key,
                "nonce": nonce,
                "aad": aad,
                "plaintext": text,
                "tag_bytes": tag,
                "sealed": out,
            }
        )
    for number, (ikm, salt, info, length, okm) in enumerate(wire_published.HKDF, 1):
        kdf = HKDF(SHA256(), length, salt=bytes.fromhex(salt) or None, info=bytes.fromhex(info))
        assert kdf.derive(bytes.fromhex(ikm)).hex() == okm, f"RFC 5869 A.{number}"
        hkdf.append(
            {
                "source": f"RFC 5869 A.{number}",
                "ikm": ikm,
                "salt": salt,
                "info": info,
                "length": length,
                "okm": okm,
            }
        )
    return ccm, hkdf


def key_vectors() -> list[dict]:
    return [
        {
            "root_key": root.hex(),
            "device": device,
            "uplink": derive(root, b"uplink", device).hex(),
            "downlink": derive(root, b"downlink", device).hex(),
            "broker_password": derive(root, b"broker", device).hex(),
        }
        for root, device in ((ROOT, DEVICE), (ROOT, DEVICE + 1), (OTHER_ROOT, U32), (bytes(16), 0))
    ]


def build() -> str:
    ccm, hkdf = published_vectors()
    document = {
        "about": "Test vectors of Sigap's contract v1 (CONTRACT.md), made by tests/contract/make_vectors.py. "
        "Bytes are hex. fields: given to an encoder (null: only a decoder has this case); reads: what a "
        "decoder gets. bad: frames that must be refused, with the reason. compact: seen is the greatest counter "
        "known in that epoch, near the greatest activation.",
        "version": 1,
        "ccm": ccm,
        "hkdf": hkdf,
        "keys": key_vectors(),
        "frames": good(),
        "bad": bad(),
        "compact": wire_compact.cases(),
        "statuses": wire_compact.statuses(),
    }
    return json.dumps(document, indent=1) + "\n"


def worked() -> str:
    """The values that the worked frame of CONTRACT.md shows, one a line."""
    case = good()[0]
    frame = bytes.fromhex(case["frame"])
    lines = {
        "root key": ROOT,
        "uplink key": derive(ROOT, b"uplink", DEVICE),
        "downlink key": derive(ROOT, b"downlink", DEVICE),
        "broker password": derive(ROOT, b"broker", DEVICE),
        "header": frame[:14],
        "nonce": bytes.fromhex(case["nonce"]),
        "body": bytes.fromhex(case["body"]),
        "ciphertext": frame[14:38],
        "tag": frame[38:],
        "frame": frame,
        "receipt": bytes.fromhex(next(c["frame"] for c in good() if c["name"] == "status receipt")),
    }
    return "\n".join(f"{name:16}{value.hex()}" for name, value in lines.items())


def main(arguments: list[str]) -> int:
    if arguments == ["--worked"]:
        print(worked())
        return 0
    made = {TARGET: build(), PHONE_TARGET: wire_phone.build()}
    if arguments == ["--check"]:
        differ = [each for each, text in made.items() if not each.is_file() or each.read_text(encoding="utf-8") != text]
        for each in differ:
            print(f"{each.name} is not what {Path(__file__).name} makes; run it without --check", file=sys.stderr)
        return 1 if differ else 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for each, text in made.items():
        each.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
