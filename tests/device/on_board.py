# Runs on the device: what test_device_vectors.py asks of it, case by case. Sent by mpremote, never imported.
from binascii import hexlify, unhexlify

from panic_wire.ccm import TagError, ccm_open, ccm_seal
from panic_wire.frames import RECORDS, FrameError, Header, is_downlink, unpack_body
from panic_wire.keys import broker_password, downlink_key, hkdf_sha256, uplink_key
from panic_wire.seal import open_frame, seal


def same(found, wanted, name):
    if found != wanted:
        print("DIFFERS", name, found, wanted)


def key_of(case, number, device):
    return (downlink_key if is_downlink(number) else uplink_key)(unhexlify(case["root_key"]), device)


def ccm(case):
    key, nonce, aad = unhexlify(case["key"]), unhexlify(case["nonce"]), unhexlify(case["aad"])
    text, sealed, size = unhexlify(case["plaintext"]), unhexlify(case["sealed"]), case["tag_bytes"]
    same(ccm_seal(key, nonce, aad, text, size), sealed, case["source"])
    same(ccm_open(key, nonce, aad, sealed, size), text, case["source"])
    try:
        ccm_open(key, nonce, aad, sealed[:-1] + bytes([sealed[-1] ^ 1]), size)
    except TagError:
        return
    same("opened", "refused", case["source"])


def hkdf(case):
    found = hkdf_sha256(unhexlify(case["ikm"]), unhexlify(case["salt"]), unhexlify(case["info"]), case["length"])
    same(hexlify(found).decode(), case["okm"], case["source"])


def keys(case):
    root, device = unhexlify(case["root_key"]), case["device"]
    same(hexlify(uplink_key(root, device)).decode(), case["uplink"], "uplink key")
    same(hexlify(downlink_key(root, device)).decode(), case["downlink"], "downlink key")
    same(broker_password(root, device), case["broker_password"], "broker password")


def frames(case):
    frame = unhexlify(case["frame"])
    header = Header(**case["header"])
    key = key_of(case, header.type, header.device)
    opened, body = open_frame(key, frame)
    same(opened, header, case["name"])
    same(hexlify(body).decode(), case["body"], case["name"])
    reads = unpack_body(header.type, body).to_dict()
    if "firmware" in reads:
        reads["firmware"] = list(reads["firmware"])
    if "content" in reads:
        reads["content"] = hexlify(reads["content"]).decode()
    same(reads, case["reads"], case["name"])
    if case["fields"] is not None:
        fields = dict(case["fields"])
        if "content" in fields:
            fields["content"] = unhexlify(fields["content"])
        packed = RECORDS[header.type](**fields).pack()
        same(hexlify(seal(key, header, packed)).decode(), case["frame"], case["name"])


def bad(case):
    frame = unhexlify(case["frame"])
    number = frame[0] & 15 if frame else 1
    device = int(hexlify(frame[2:6]).decode() or "0", 16)
    try:
        open_frame(key_of(case, number, device), frame)
        same("opened", case["reason"], case["name"])
    except FrameError as error:
        same(error.reason, case["reason"], case["name"])
