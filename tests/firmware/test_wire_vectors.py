# vectors.json, read by both interpreters: the RFCs' vectors, golden frames, frames that must be refused.
import json
from binascii import hexlify, unhexlify

import panic_wire
from panic_wire.ccm import TagError, ccm_open, ccm_seal
from panic_wire.frames import RECORDS, FrameError, Header, is_downlink, unpack_body, unpack_header
from panic_wire.keys import broker_password, downlink_key, hkdf_sha256, uplink_key
from panic_wire.seal import nonce, open_frame, seal


def load():
    with open(panic_wire.__file__.rsplit("/", 1)[0] + "/vectors.json") as file:
        return json.load(file)


VECTORS = load()


def to_hex(data):
    return hexlify(data).decode()


def key_of(root, number, device):
    return (downlink_key if is_downlink(number) else uplink_key)(root, device)


def plain(record):
    # What JSON can say of a record: a tuple comes back from a file as a list.
    found = record.to_dict()
    if "firmware" in found:
        found["firmware"] = list(found["firmware"])
    if "content" in found:
        found["content"] = to_hex(found["content"])
    return found


def record(number, fields):
    fields = dict(fields)
    if "content" in fields:
        fields["content"] = unhexlify(fields["content"])
    return RECORDS[number](**fields)


def test_ccm_of_rfc_3610():
    assert len(VECTORS["ccm"]) == 24
    for case in VECTORS["ccm"]:
        key, iv, aad = unhexlify(case["key"]), unhexlify(case["nonce"]), unhexlify(case["aad"])
        text, out, size = unhexlify(case["plaintext"]), unhexlify(case["sealed"]), case["tag_bytes"]
        assert ccm_seal(key, iv, aad, text, size) == out, case["source"]
        assert ccm_open(key, iv, aad, out, size) == text, case["source"]


def test_ccm_refuses_every_changed_byte():
    case = VECTORS["ccm"][0]
    key, iv, aad = unhexlify(case["key"]), unhexlify(case["nonce"]), unhexlify(case["aad"])
    out = unhexlify(case["sealed"])
    for index in range(len(out)):
        changed = bytearray(out)
        changed[index] ^= 1
        assert refused(key, iv, aad, bytes(changed)), index
    assert refused(key, iv, aad + b"\0", out)
    assert refused(key, iv, b"", out)
    assert refused(key, iv, aad, out[:-1])
    assert refused(key, iv, aad, out[:7])
    assert refused(key, iv, aad, b"")


def refused(key, iv, aad, sealed):
    try:
        ccm_open(key, iv, aad, sealed)
    except TagError:
        return True
    return False


def test_ccm_says_what_is_wrong_with_its_arguments():
    for key, iv in ((bytes(15), bytes(13)), (bytes(32), bytes(13)), (bytes(16), bytes(12))):
        for function in (ccm_seal, ccm_open):
            try:
                function(key, iv, b"", bytes(16))
            except TagError:
                raise AssertionError("a wrong length is not a wrong tag")
            except ValueError:
                continue
            raise AssertionError("accepted a key of %d and a nonce of %d bytes" % (len(key), len(iv)))


def test_ccm_without_associated_data_and_without_text():
    key, iv = bytes(16), bytes(13)
    for aad in (b"", b"a", bytes(range(40))):
        for text in (b"", b"t", bytes(16), bytes(range(100))):
            out = ccm_seal(key, iv, aad, text)
            assert len(out) == len(text) + 8
            assert ccm_open(key, iv, aad, out) == text


def test_hkdf_of_rfc_5869():
    assert len(VECTORS["hkdf"]) == 3
    for case in VECTORS["hkdf"]:
        ikm, salt, info = unhexlify(case["ikm"]), unhexlify(case["salt"]), unhexlify(case["info"])
        assert to_hex(hkdf_sha256(ikm, salt, info, case["length"])) == case["okm"], case["source"]


def test_keys():
    for case in VECTORS["keys"]:
        root, device = unhexlify(case["root_key"]), case["device"]
        assert to_hex(uplink_key(root, device)) == case["uplink"]
        assert to_hex(downlink_key(root, device)) == case["downlink"]
        assert broker_password(root, device) == case["broker_password"]


def test_golden_frames_are_made():
    made = 0
    for case in VECTORS["frames"]:
        if case["fields"] is None:
            continue
        header = Header(**case["header"])
        body = record(header.type, case["fields"]).pack()
        assert to_hex(body) == case["body"], case["name"]
        assert to_hex(nonce(header)) == case["nonce"], case["name"]
        key = key_of(unhexlify(case["root_key"]), header.type, header.device)
        assert to_hex(seal(key, header, body)) == case["frame"], case["name"]
        made += 1
    assert made >= 20


def test_golden_frames_are_read():
    for case in VECTORS["frames"]:
        frame = unhexlify(case["frame"])
        header = unpack_header(frame)
        assert header == Header(**case["header"]), case["name"]
        key = key_of(unhexlify(case["root_key"]), header.type, header.device)
        opened, body = open_frame(key, frame)
        assert opened == header
        assert to_hex(body) == case["body"], case["name"]
        assert plain(unpack_body(header.type, body)) == case["reads"], case["name"]


def test_bad_frames_are_refused_for_the_right_reason():
    for case in VECTORS["bad"]:
        frame, root = unhexlify(case["frame"]), unhexlify(case["root_key"])
        number = frame[0] & 15 if frame else 1
        device = int(to_hex(frame[2:6]) or "0", 16)
        try:
            open_frame(key_of(root, number, device), frame)
        except FrameError as error:
            assert error.reason == case["reason"], "%s: %s" % (case["name"], error.reason)
            assert len(str(error)) > 10
            continue
        raise AssertionError("accepted: " + case["name"])


def test_every_reason_but_bad_body_has_a_bad_frame():
    # bad-body cannot come from a frame: the length of a frame fixes the length of its body.
    assert {case["reason"] for case in VECTORS["bad"]} == {
        "empty",
        "not-sigap-v1",
        "reserved-type",
        "too-short",
        "too-long",
        "bad-length",
        "bad-header",
        "bad-tag",
    }
