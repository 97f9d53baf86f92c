#!/usr/bin/env python3
"""How long a list of items takes as a file, and how much memory.

python3 benches/exports.py PAYRUN ROWS [FORMAT...]

Makes a project in a temporary folder, fills its ledger with items that have all their columns, a call and two moves, and
writes them by `payrun items -o`. The items are made by SQL: no gateway is called.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time

RESULT = '{"bank_type":"WPHK","state":"SUCCESS","success_time":"2026-03-31T09:30:07+08:00","trade_type":"AUTH"}'
REPLY = (
    '{"id":"4200","out_trade_no":"order","trade_state":"SUCCESS","trade_type":"AUTH","bank_type":"WPHK",'
    '"success_time":"2026-03-31T09:30:07+08:00","amount":{"total":3800,"currency":"HKD","payer_total":3800}}'
)
START = 1_774_920_600_000


def fill(path, rows):
    ledger = sqlite3.connect(path)
    ledger.execute("pragma journal_mode = wal")
    ledger.execute("pragma synchronous = off")
    ledger.execute(
        "insert into runs (id, workflow, occurrence, timezone, source, params, started_at, finished_at)"
        " values (1, 'deductions', 'manual', 'Asia/Hong_Kong', '', '{}', ?, ?)",
        (START, START + rows),
    )
    ledger.execute(
        "insert into jobs (id, run_id, name, kind, lane, needs, policy, started, finished_at, first_item, last_item)"
        " values (1, 1, 'deduct', 'deduct', 'hk', '[]', '{}', 1, ?, 1, ?)",
        (START + rows, rows),
    )
    items, attempts, events = [], [], []
    for n in range(1, rows + 1):
        contract = f"Wx{n:013d}"
        fields = (
            f'{{"contract_id":"{contract}","amount":"38.00","currency":"HKD","description":"会员月费 2026-03",'
            '"merchant_category_code":"4900"}'
        )
        order = f"{n:026d}-1"
        at = START + n
        items.append(
            (n, n, f"{contract}/2026-03", os.urandom(32), os.urandom(32), os.urandom(32), order, at, f"42{n:026d}", fields, RESULT)
        )
        attempts.append((n, order, at, at + 200, REPLY))
        events.append((n, 1, at, "claim", "planned", "sending"))
        events.append((n, 2, at + 200, "done", "sending", "succeeded"))
        if len(items) == 50_000 or n == rows:
            ledger.executemany(
                "insert into items (id, job_id, line, key, key_hash, content_hash, exclusive_key, order_no, state, version,"
                " sent_at, amount, currency, receipt, input, result)"
                " values (?, 1, ?, ?, ?, ?, ?, ?, 'succeeded', 2, ?, 3800, 'HKD', ?, ?, ?)",
                items,
            )
            ledger.executemany(
                "insert into attempts (item_id, version, kind, operation, order_no, started_at, ended_at, answer, code, http, evidence)"
                " values (?, 1, 'call', 'deduct', ?, ?, ?, 'done', '', 200, ?)",
                attempts,
            )
            ledger.executemany(
                "insert into events (item_id, version, at, event, from_state, to_state) values (?, ?, ?, ?, ?, ?)", events
            )
            ledger.commit()
            items, attempts, events = [], [], []
    ledger.execute("pragma wal_checkpoint(truncate)")
    ledger.close()


def resident(child):
    """The most memory that a process held until it ended, in MiB. What the system keeps of an ended one also counts its parent's,
    of which it was a copy before it began."""
    peak = 0
    while True:
        with open(f"/proc/{child.pid}/status") as status:
            held = [line.split()[1] for line in status if line.startswith("VmHWM:")]
        if not held:
            return peak // 1024
        peak = int(held[0])
        time.sleep(0.02)


def main():
    payrun, rows = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    formats = sys.argv[3:] or ["xlsx", "csv", "ndjson"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([payrun, "init", folder + "/shop"], check=True, stdout=subprocess.DEVNULL)
        os.chdir(folder + "/shop")
        subprocess.run([payrun, "runs"], check=True, stdout=subprocess.DEVNULL)
        fill("payrun.db", rows)
        for name in formats:
            began = time.monotonic()
            child = subprocess.Popen([payrun, "items", "1", "-o", f"items.{name}"], stdout=subprocess.DEVNULL)
            peak = resident(child)
            _, status, used = os.wait4(child.pid, 0)
            assert status == 0, status
            print(
                f"{name}: {rows} items in {time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU,"
                f" peak resident {peak} MiB, file {os.path.getsize(f'items.{name}') // 1_000_000} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
