#!/usr/bin/env python3
"""How fast the dashboard's pages are among many items, beside a run, and what ten viewers cost that run.

python3 benches/pages.py PAYRUN [ITEMS] [postgres://USER@HOST/EMPTY_DATABASE]

Makes a project in a temporary folder, fills its ledger by SQL with a hundred runs that are over, and serves it with
`payrun serve` and `payrun sandbox`, all on loopback. Pages are asked for one after the other: at rest, and while a run of
20,000 deductions goes on. Then two more such runs, in turn without viewers and with ten: each watches the run's live part and
renews the first page every ten seconds, as a browser does.
"""

import http.client
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

RUNS = 100
DEDUCTIONS = 20_000
LOOKS = 40
POLICY = json.dumps(
    {
        "retry": {"attempts": 5, "first": {"secs": 1, "nanos": 0}, "max": {"secs": 5, "nanos": 0}},
        "query": {"schedule": [{"secs": 1, "nanos": 0}], "grace": {"secs": 10, "nanos": 0}, "horizon": {"secs": 60, "nanos": 0}},
        "dunning": [],
    }
)
ITEMS = """
insert into items (job_id, line, key, key_hash, content_hash, exclusive_key, order_no, state, version, amount, currency, input, receipt,
  sent_at, reason)
select 1 + (n - 1) / {per}, n, 'C-' || n || '/2025-01', {hash}, {hash}, {hash}, 'order-' || n,
  case when n % 1000 = 7 then 'failed' else 'succeeded' end, 2, 3800, 'HKD',
  '{{"contract_id":"C-1","description":"Membership","merchant_category_code":"4900"}}', '42000000' || n, {start} + n,
  case when n % 1000 = 7 then 'declined: NOT_ENOUGH' end
from {numbers}"""
OTHERS = [
    """insert into runs (id, workflow, occurrence, source, params, started_at, finished_at)
select n, 'w', 'h' || n, 'workflow: w', '{{}}', {start} + n * 1000, {start} + n * 1000 + 500 from {numbers}""",
    """insert into jobs (id, run_id, name, kind, lane, needs, policy, started, finished_at, first_item, last_item)
select n, n, 'deduct', 'deduct', 'hk', '[]', '{policy}', 1, 2, (n - 1) * {per} + 1, n * {per} from {numbers}""",
    """insert into totals (job_id, state, currency, items, minor)
select n, 'succeeded', 'HKD', {per} - {per} / 1000, ({per} - {per} / 1000) * 3800 from {numbers}
union all select n, 'failed', 'HKD', {per} / 1000, {per} / 1000 * 3800 from {numbers}""",
]


def statements(items, server):
    start = int(time.time() * 1000) - 40 * 86_400_000
    for text, rows in [(text, RUNS) for text in OTHERS] + [(ITEMS, items)]:
        numbers = (
            f"generate_series(1, {rows}) as s (n)"
            if server
            else f"(with recursive s (n) as (select 1 union all select n + 1 from s where n < {rows}) select n from s)"
        )
        hashed = "decode(md5(n::text), 'hex')" if server else "randomblob(16)"
        yield text.format(numbers=numbers, per=items // RUNS, hash=hashed, start=start, policy=POLICY)


def fill(folder, items, server):
    if server:
        for statement in statements(items, True):
            subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", server, "-c", statement], check=True)
        for table in ("runs", "jobs"):
            setval = f"select setval(pg_get_serial_sequence('{table}', 'id'), {RUNS})"
            subprocess.run(["psql", "-q", "-o", os.devnull, server, "-c", setval], check=True)
        subprocess.run(["psql", "-q", server, "-c", "vacuum analyze"], check=True)
        return
    ledger = sqlite3.connect(os.path.join(folder, "payrun.db"))
    ledger.execute("pragma synchronous = off")
    ledger.execute("pragma cache_size = -1000000")
    for statement in statements(items, False):
        ledger.execute(statement)
    ledger.commit()
    ledger.close()


class Visitor:
    """A browser without script that is signed in."""

    def __init__(self, address, token):
        self.address, self.cookie = address, None
        body = urllib.parse.urlencode({"token": token})
        status, headers, _ = self.ask("POST", "/sign-in", body)
        assert status == 303, status
        self.cookie = headers["set-cookie"].split(";")[0]

    def connect(self):
        return http.client.HTTPConnection(*self.address, timeout=60)

    def ask(self, method, path, body=None, connection=None, more=None):
        headers = {"sec-fetch-site": "same-origin", "accept-encoding": "gzip", **(more or {})}
        if body is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
        if self.cookie:
            headers["cookie"] = self.cookie
        connection = connection or self.connect()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()


def pages(run, item):
    return {
        "Today": "/",
        "Runs": "/runs",
        "Run": f"/runs/{run}",
        "Items of a run": f"/items?run={run}",
        "Failed items": "/items?state=failed",
        "Failed of a run": f"/items?run={run}&state=failed",
        "Item": f"/items/{item}",
        "Unknown": "/unknown",
        "Search a key": f"/search?q=C-{item}/2025-01",
        "Search the gateway's number": f"/search?q=42000000{item}",
        "Approvals": "/approvals",
        "Gateways": "/gateways",
        "Alerts": "/alerts",
    }


def looks(visitor, item, going_on=lambda: True):
    times, sizes = {}, {}
    connection = visitor.connect()
    for look in range(LOOKS):
        for name, path in pages(50, item).items():
            if not going_on():
                return times, sizes
            began = time.monotonic()
            status, _, body = visitor.ask("GET", path, connection=connection)
            times.setdefault(name, []).append((time.monotonic() - began) * 1000)
            # Over its budget of two seconds: it counts with that time.
            assert status in (200, 303, 504), (path, status)
            sizes[name] = max(sizes.get(name, 0), len(body))
    return times, sizes


def percentile(figures, share):
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Api:
    def __init__(self, address, token):
        self.address, self.token = address, token

    def ask(self, method, path, body=None, key=None):
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        if key:
            headers["idempotency-key"] = key
        connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status < 300, (path, answer.status, text[:300])
        return json.loads(text)

    def begin(self, key):
        body = {"workflow": "monthly-deductions", "params": {"round": key}}
        while not (begun := self.ask("POST", "/runs", body, key)).get("run"):
            time.sleep(0.2)
        return begun["run"]["run"]

    def is_open(self, run):
        return self.ask("GET", f"/runs/{run}")["state"] == "open"


def rate_of(api, run):
    """Items a second, from the first call to the last."""
    while api.is_open(run):
        time.sleep(0.1)
    seen = api.ask("GET", f"/runs/{run}")
    from datetime import datetime

    first = min(
        datetime.fromisoformat(api.ask("GET", f"/items/{item['item']}")["attempts"][0]["started_at"].replace("Z", "+00:00"))
        for item in api.ask("GET", f"/items?run={run}&limit=1")["items"]
    )
    last = datetime.fromisoformat(seen["finished_at"].replace("Z", "+00:00"))
    return seen["by_state"].get("succeeded", 0) / (last - first).total_seconds()


def watch(visitor, run, stop):
    connection = visitor.connect()
    headers = {"cookie": visitor.cookie, "accept": "text/event-stream"}
    connection.request("GET", f"/runs/{run}/live", None, headers)
    stream = connection.getresponse()

    def renew():
        own = visitor.connect()
        while not stop.wait(10):
            visitor.ask("GET", "/", connection=own, more={"hx-request": "true"})

    threading.Thread(target=renew, daemon=True).start()
    while stream.read1(65_536) and not stop.is_set():
        pass


def main():
    payrun = os.path.abspath(sys.argv[1])
    items = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    server = sys.argv[3] if len(sys.argv) > 3 else None
    folder = tempfile.mkdtemp()
    command = lambda *more: subprocess.run([payrun, *more], cwd=folder, check=True, capture_output=True, text=True).stdout
    command("init", ".")
    path = os.path.join(folder, "payrun.yaml")
    config = open(path).read()
    sandbox = subprocess.Popen(
        [payrun, "sandbox", "--port", "0", "--latency", "0"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    url = re.search(r"http://[0-9.:]+", sandbox.stdout.readline()).group(0)
    threading.Thread(target=sandbox.stdout.read, daemon=True).start()
    config = config.replace("http://127.0.0.1:4455", url).replace("rate: 50/s", "rate: 1000000/s").replace("concurrency: 16", "concurrency: 64")
    if server:
        config = config.replace("database: payrun.db", f"database: {server}")
    open(path, "w").write(config)
    workflow = os.path.join(folder, "workflows", "monthly-deductions.yaml")
    text = open(workflow).read()
    text = re.sub(r"(?m)^schedule:.*\n", "", text).replace("params:\n", "params:\n  round: { type: text, default: a }\n")
    text = text.replace('{{ item.contract_id }}/{{ run.month }}"', '{{ item.contract_id }}/{{ params.round }}"')
    open(workflow, "w").write(text)
    with open(os.path.join(folder, "data", "contracts.csv"), "w") as rows:
        rows.write("contract_id,plan,amount,currency,active\n")
        rows.writelines(f"Wx{n:012},basic,38.00,HKD,yes\n" for n in range(DEDUCTIONS))
    command("runs")
    began = time.monotonic()
    fill(folder, items, server)
    print(f"{items:,} items on {'PostgreSQL' if server else 'SQLite'}, filled in {time.monotonic() - began:.0f} s")
    log = open(os.path.join(folder, "serve.log"), "w")
    service = subprocess.Popen([payrun, "serve", "--listen", "127.0.0.1:0"], cwd=folder, stderr=log, stdout=log)
    try:
        while not (found := re.search(r"http://(127\.0\.0\.1):(\d+)", open(log.name).read())):
            time.sleep(0.1)
        address = (found.group(1), int(found.group(2)))
        token = re.search(r"payrun_\S+", command("tokens", "create", "bench", "--role", "operator")).group(0)
        visitor, api = Visitor(address, token), Api(address, token)
        item = items // 2 + 7
        at_rest, sizes = looks(visitor, item)
        run = api.begin("beside")
        beside, _ = looks(visitor, item, lambda: api.is_open(run))
        while api.is_open(run):
            time.sleep(0.1)
        print("| Page | at rest: p50, p95 | beside a run: p50, p95 | looks beside it | bytes, compressed |\n|---|---|---|---|---|")
        for name, times in at_rest.items():
            during = beside.get(name, [])
            shown = f"{percentile(during, 0.5):.1f}, {percentile(during, 0.95):.1f} ms" if during else "–"
            print(f"| {name} | {percentile(times, 0.5):.1f}, {percentile(times, 0.95):.1f} ms | {shown} | {len(during)} | {sizes[name]:,} |")
        rates = {"without viewers": [], "with ten viewers": []}
        for turn in range(3):
            for way, found in rates.items():
                run, stop = api.begin(f"{way.replace(' ', '-')}-{turn}"), threading.Event()
                if way == "with ten viewers":
                    for _ in range(10):
                        threading.Thread(target=watch, args=(visitor, run, stop), daemon=True).start()
                found.append(rate_of(api, run))
                stop.set()
        for way, found in rates.items():
            print(f"{way}: {', '.join(f'{rate:,.0f}' for rate in found)} items/s")
        ratios = sorted(with_them / without for without, with_them in zip(*rates.values()))
        print(f"ratio, turn by turn: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; median {ratios[len(ratios) // 2]:.2f}")
    finally:
        service.terminate()
        sandbox.terminate()
        service.wait(30)


main()
