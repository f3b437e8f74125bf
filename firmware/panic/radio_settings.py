"""The settings of LoRa. Loaded when /device.json or /base.json has them, then unloaded.

"lora": {"plan": [[921400000, 9, 921800000], ...], "power_dbm": 14, "heartbeat_s": 3600}. A row of the plan is one base
station's receiver: the frequency at which it hears, its spreading factor, the frequency at which it answers. A button
tries those of the lowest factor first, beginning with one that follows from its id, then the next, and again. Figures
of AS923-2 (Indonesia).
"""

PLAN = ((921400000, 9, 921800000),)
MOST_ROWS = 16
LEAST_HZ, MOST_HZ = 920000000, 923000000
MOST_DBM = 20
HEARTBEAT_S = 3600


def load(found, table, role="device"):
    """Completes `found` with lora: (plan, power_dbm, heartbeat_s); returns what is wrong, as sentences."""
    if not isinstance(table, dict):
        return ["lora must be a table"]
    problems = []
    rows = table.get("plan", PLAN)
    plan = []
    if not isinstance(rows, (list, tuple)) or not 0 < len(rows) <= MOST_ROWS:
        problems.append("lora.plan must be a list of 1 to %d rows" % MOST_ROWS)
        rows = ()
    for row in rows:
        right = isinstance(row, (list, tuple)) and len(row) == 3
        right = right and _whole(row[0], LEAST_HZ, MOST_HZ) and _whole(row[2], LEAST_HZ, MOST_HZ)
        if not right or not _whole(row[1], 7, 10):
            problems.append("each row of lora.plan must be [Hz, spreading factor 7 to 10, Hz of the answers]")
            break
        plan.append(tuple(row))
    power, beat = table.get("power_dbm", 14), table.get("heartbeat_s", HEARTBEAT_S)
    if not _whole(power, 2, MOST_DBM):
        problems.append("lora.power_dbm must be a whole number from 2 to %d" % MOST_DBM)
    if not _whole(beat, 60, 86400):
        problems.append("lora.heartbeat_s must be a whole number from 60 to 86400")
    if role == "base" and len(plan) != 1:
        problems.append("lora.plan of a base station must have one row: it hears one frequency and one factor")
    found.lora = (plan, power, beat)
    return problems


def _whole(value, least, most):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
