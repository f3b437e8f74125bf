# Runs on the device: what test_device_vectors.py asks of it, case by case. Sent by mpremote, never imported.
from binascii import hexlify, unhexlify

from panic_wire.bodies import (
    pack_alarm,
    pack_cancel,
    pack_heartbeat,
    pack_report,
    pack_trouble,
    status_activation,
    unpack_command,
)
from panic_wire.ccm import TagError, ccm_open, ccm_seal
from panic_wire.header import FrameError, Header, is_downlink
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
    same(hexlify(seal(key, header, body)).decode(), case["frame"], case["name"])
    if case["fields"] is not None:
        packed(header.type, case)


def flags(fields, names):
    return sum([1 << bit for bit, name in enumerate(names.split()) if fields[name]])


def packed(number, case):
    # What a button makes, and what it reads of a status and a command.
    f, body = case["fields"], unhexlify(case["body"])
    if number == 8:
        return same(status_activation(body), f["activation"], case["name"])
    if number == 9:
        code, content = unpack_command(body)
        same(code, f["code"], case["name"])
        return same(hexlify(content).decode()[: len(f["content"])], f["content"], case["name"])
    if number == 3:
        made = pack_cancel(f["activation"], f["age_ms"], flags(f, "duress repeated"))
    elif number == 5:
        bits = flags(f, "silent fixed_site has_fix clock_known test_mode")
        numbers = f["reset_cause"], f["open_alarms"], f["lost_edges"]
        made = pack_heartbeat(f["uptime_s"], f["battery_mv"], f["rssi_dbm"], bits, f["firmware"], *numbers)
    elif number == 6:
        made = pack_trouble(f["kind"], flags(f, "ended"), f["age_s"], f["value"])
    elif number == 7:
        made = pack_report(f["kind"], f["code"], f["ref"], unhexlify(f["content"]))
    else:
        bits = flags(f, "silent fixed_site age_is_minimum repeated moved doubtful")
        where = f["lat_e7"], f["lon_e7"], f["accuracy_m"], f["fix_age_s"]
        made = pack_alarm(f["activation"], f["gesture"], bits, f["age_ms"], where, f["battery_mv"])
    same(made, body, case["name"])


def bad(case):
    frame = unhexlify(case["frame"])
    number = frame[0] & 15 if frame else 1
    device = int(hexlify(frame[2:6]).decode() or "0", 16)
    try:
        open_frame(key_of(case, number, device), frame)
        same("opened", case["reason"], case["name"])
    except FrameError as error:
        same(error.reason, case["reason"], case["name"])


def compact(case):
    from panic_wire.compact import seal_compact

    key = uplink_key(unhexlify(case["root_key"]), case["device"])
    made = seal_compact(key, case["type"], case["device"], case["epoch"], case["counter"], unhexlify(case["body"]))
    same(hexlify(made).decode(), case["frame"], case["name"])


def statuses(case):
    from panic_wire.compact import is_status

    key, status = downlink_key(unhexlify(case["root_key"]), case["device"]), unhexlify(case["status"])
    same(is_status(key, status, case["stage"], case["device"], case["epoch"], case["counter"]), True, case["stage"])
    same(is_status(key, status, case["stage"], case["device"], case["epoch"], case["counter"] + 32), False, "another")
