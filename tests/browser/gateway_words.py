"""Writes hostile texts where the words of a gateway, of a mail server and of a network are kept, into the ledger of this folder: no
gateway that we play says such things."""

import json
import sqlite3
import time
from pathlib import Path

texts = json.loads(Path("hostile.json").read_text(encoding="utf-8"))
ledger = sqlite3.connect("payrun.db", timeout=20)
with ledger:
    failed = ledger.execute("select id from items where state in ('failed', 'needs_review') order by id").fetchall()
    assert failed, "no item has failed"
    for number, (item,) in enumerate(failed):
        text = texts[number % len(texts)]
        ledger.execute("update items set reason = ? where id = ?", (text, item))
        ledger.execute("update attempts set evidence = ?, code = ? where item_id = ?", (text, text[:64], item))
    done = ledger.execute("select id from items where state = 'succeeded' order by id limit 9").fetchall()
    for number, (item,) in enumerate(done):
        ledger.execute("update items set receipt = ? where id = ?", (texts[number % len(texts)][:64], item))
for _ in range(300):
    with ledger:
        if ledger.execute("update mails set answer = ? where answer is not null", (texts[1],)).rowcount > 0:
            break
    time.sleep(0.2)
else:
    raise SystemExit("no mail was tried")
ledger.close()
