"""The rarer settings: more WiFi, TLS, a backup broker. Loaded when /device.json has them, then unloaded."""

import binascii

MOST_NETWORKS = 8


def load(found, wifi, broker, files):
    """Completes `found` (settings.Settings) from these tables; returns what is wrong with them, as sentences.

    wifi.more: further networks, each {ssid, password}; who comes first is preferred. broker.tls: ca (base64 of DER, or
    the path of a DER file), hostname (the name in the certificate; else the host), certificate and key (as ca, when the
    broker wants a certificate of ours), not_before (Unix seconds: the clock says no less). broker.backup: host, port,
    hostname, with the same TLS.
    """
    problems = []
    more = wifi.get("more", ())
    if not isinstance(more, (list, tuple)) or len(more) >= MOST_NETWORKS:
        problems.append("wifi.more must be a list of at most %d networks" % (MOST_NETWORKS - 1))
        more = ()
    for network in more:
        if not isinstance(network, dict):
            problems.append("each of wifi.more must be a table")
            continue
        ssid = _text(network, "ssid", "wifi.more.", problems, most=32)
        found.wifi_networks.append((ssid, _text(network, "password", "wifi.more.", problems, "", 0, 64)))
    tls = broker.get("tls")
    if tls is not None:
        if not isinstance(tls, dict):
            return ["broker.tls must be a table"]
        der = [_der(tls, name, files, problems) for name in ("ca", "certificate", "key")]
        if der[0] is None and not problems:
            problems.append("broker.tls.ca is missing; it must be a certificate authority")
        if (der[1] is None) != (der[2] is None):
            problems.append("broker.tls has one of certificate and key; it must be both")
        found.broker_hostname = _text(tls, "hostname", "broker.tls.", problems, None)  # pyright: ignore[reportArgumentType]
        found.clock_floor_s = _number(tls, "not_before", 0, 1 << 32, 0, "broker.tls.", problems)
        if not problems:
            from mqtt.tls import context

            try:
                found.broker_ssl = context(der[0], der[1], der[2])
            except (ValueError, OSError) as error:
                problems.append("broker.tls cannot be used: %s" % error)
    backup = broker.get("backup")
    if backup is not None:
        if not isinstance(backup, dict):
            return problems + ["broker.backup must be a table"]
        host = _text(backup, "host", "broker.backup.", problems)
        port = _number(backup, "port", 1, 65535, found.broker_port, "broker.backup.", problems)
        name = _text(backup, "hostname", "broker.backup.", problems, found.broker_hostname)  # pyright: ignore[reportArgumentType]
        found.broker_backup = (host, port, found.broker_ssl, name)
    return problems


def _der(table, name, files, problems):
    value = table.get(name)
    if value is None:
        return None
    full = "broker.tls." + name
    if not isinstance(value, str):
        problems.append("%s must be base64 of DER, or the path of a DER file" % full)
    elif value[:1] == "/":
        data = files.read(value)
        if data is None:
            problems.append("%s: the file %s is missing" % (full, value))
        return data
    else:
        try:
            return binascii.a2b_base64(value)
        except ValueError:
            problems.append("%s is not base64" % full)
    return None


def _text(table, name, prefix, problems, default="", least=1, most=253):
    value = table.get(name, default)
    if (value is None and default is None) or (isinstance(value, str) and least <= len(value) <= most):
        return value
    problems.append("%s%s must be a text of %d to %d letters" % (prefix, name, least, most))
    return default


def _number(table, name, least, most, default, prefix, problems):
    value = table.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    problems.append("%s%s must be a whole number from %d to %d" % (prefix, name, least, most))
    return default
