"""The administrator's page names the metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from gateway.ingest.intake import Intake, Uplink
from gateway.ingest.judge import Rejection
from gateway.ingest.quarantine import add
from gateway.operations.metrics import ABOUT, TOTALS, Measured, Metrics
from gateway.outbox.rows import count
from gateway.store.engine import open_store

PAGE = (Path(__file__).parents[3] / "docs" / "administrator.md").read_text(encoding="utf-8")


class Up:
    connected = True

    def publish(self, _topic: str, _payload: bytes) -> bool:
        return True

    def acknowledge(self, _message: Uplink) -> bool:
        return True

    def renew(self) -> None:
        return


def test_the_page_names_every_metric(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'sigap.db'}") as store:
        message = Uplink("t", b"", 0, 1_000_000, qos=1)
        with store.write() as conn:
            add(conn, [(message, Rejection("json", "x"))])
            for name in TOTALS:
                count(conn, name)
        metrics = Metrics(store, Intake(), Up())  # type: ignore[arg-type]
        assert Measured(Up(), metrics.receipt_seconds, lambda: 1_020_000).acknowledge(message)
        families = list(text_string_to_metric_families(metrics.text().decode()))
    samples = {sample.name: sample for family in families for sample in family.samples}
    ours = {name for name in samples if name.startswith("sigap_")}
    ours = {re.sub("_(bucket|count|sum|created)$", "", name) for name in ours} - set(ABOUT)
    outbox = {"sigap_outbox_pending", "sigap_outbox_oldest_seconds"}
    assert ours | outbox == set(re.findall(r"`(sigap_[a-z_]+?)(?:\{[a-z]+\})?`", PAGE))
    assert samples["sigap_receipt_seconds_sum"].value == 0.02
