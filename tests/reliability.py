#!/usr/bin/env python3
"""Runs the whole rig and writes docs/reliability.md from what it printed.

  tests/reliability.py [--seeds N] [--kills N] [--cuts N]

N seeds of each workflow; N kills of each kind of rig; N cuts at least of power, and of commits.

Needs what tests/run.sh needs; PAYRUN_TEST_POSTGRES names the server. Nothing is claimed on the page that was not run by this.
What has been done is kept beside the build, so that a run of hours that was stopped goes on where it was.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PAGE = ROOT / "docs" / "reliability.md"

# Seeds of one call of `payrun simulate`.
AT_ONCE = 500

REFUNDS = """workflow: refunds-at-{gateway}
jobs:
  refund:
    uses: refund
    gateway: {gateway}
    items: {{ file: ../data/refunds.csv }}
    key: "{{{{ item.refund }}}}"
    with:
      out_trade_no: "{{{{ item.order }}}}"
      amount: "{{{{ item.amount }}}}"
      currency: HKD
      reason: "{{{{ item.reason }}}}"
"""

PAYMENTS = """workflow: payments-at-{gateway}
jobs:
  pay:
    uses: pay
    gateway: {gateway}
    items: {{ file: ../data/payments.csv }}
    key: "{{{{ item.payment }}}}"
    with:
      amount: "{{{{ item.amount }}}}"
      currency: HKD
      description: "{{{{ item.payment }}}}"
{more}"""


def run(command, told=True, **settings):
    """Output of a command; its failure is the end. `told`: whether what it says beside its output is wanted too."""
    print("$", " ".join(map(str, command)), flush=True)
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, cwd=settings.pop("cwd", ROOT), **settings)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{done.stderr}\nended with {done.returncode}")
    return done.stdout + (done.stderr if told else ""), time.monotonic() - began


def project(payrun, folder):
    """A fresh project with a workflow for each effect."""
    run([payrun, "init", folder])
    contracts = (folder / "data" / "contracts.csv").read_text().splitlines()[:13]
    (folder / "data" / "few.csv").write_text("\n".join(contracts) + "\n")
    refunds = [f"R{n},ORDER-{(n + 1) // 2},1{n}.50,broken" for n in range(1, 13)]
    (folder / "data" / "refunds.csv").write_text("refund,order,amount,reason\n" + "\n".join(refunds) + "\n")
    payments = [f"P{n},2{n}.00" for n in range(1, 13)]
    (folder / "data" / "payments.csv").write_text("payment,amount\n" + "\n".join(payments) + "\n")
    flows = folder / "workflows"
    plays = [("deductions, WeChat Pay", flows / "monthly-deductions.yaml", ["--input", "data/few.csv"])]
    names = {"hk": "WeChat Pay", "hipopay": "HipoPay", "egms": "EGMS", "cbtis": "CBTIS"}
    for gateway, name in names.items():
        path = flows / f"refunds-{gateway}.yaml"
        path.write_text(REFUNDS.format(gateway=gateway))
        plays.append((f"refunds, {name}", path, []))
    for gateway, more in {"egms": "      platform: WEB\n", "cbtis": ""}.items():
        path = flows / f"payments-{gateway}.yaml"
        path.write_text(PAYMENTS.format(gateway=gateway, more=more))
        plays.append((f"payments, {names[gateway]}", path, []))
    return plays


class Kept:
    """What parts of this run have printed, of this commit."""

    def __init__(self, head):
        self.path = TARGET / "reliability" / f"{head}.json"
        self.parts = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.writing = threading.Lock()

    def part(self, name, make):
        if name not in self.parts:
            made = make()
            with self.writing:
                self.parts[name] = made
                self.path.parent.mkdir(parents=True, exist_ok=True)
                beside = self.path.with_suffix(".new")
                beside.write_text(json.dumps(self.parts))
                beside.replace(self.path)
        return self.parts[name]


def added(parts):
    """Several simulations of one workflow as one."""
    whole = {"disruptions": {}, "items": {}, "longest_unknown_ms": 0}
    for told in parts:
        for counts in ("disruptions", "items"):
            for word, times in told[counts].items():
                whole[counts][word] = whole[counts].get(word, 0) + times
        for number in ("seeds", "failed_seeds", "double_effects", "lost", "calls", "unknown_items", "seconds"):
            whole[number] = whole.get(number, 0) + told[number]
        whole["longest_unknown_ms"] = max(whole["longest_unknown_ms"], told["longest_unknown_ms"])
    return whole


def played(output):
    """What a simulation said, without the story of each item."""
    return {word: said for word, said in json.loads(output).items() if word != "each"}


def simulate(payrun, seeds, kept):
    """Every workflow, seeds 1 to N, some at a time on each core; what each said."""
    cores = SimpleQueue()
    for core in os.sched_getaffinity(0):
        cores.put(core)

    def play(workflow, more, first, some):
        core = cores.get()
        chosen = [f"--seed={first}", f"--seeds={some}", "--threads=1"]
        command = [payrun, "simulate", workflow, "--date", "2026-03-31", *chosen, "--json", *more]
        try:
            told = played(run(["taskset", "-c", str(core), *command], cwd=folder, told=False)[0])
        finally:
            cores.put(core)
        return told if told["seeds"] == some else sys.exit(f"stopped after {told['seeds']} of {some} seeds")

    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(cores.qsize()) as pool:
        folder = Path(scratch) / "project"
        plays = project(payrun, folder)
        parts = {name: [] for name, _, _ in plays}
        for first in range(1, seeds + 1, AT_ONCE):
            some = min(AT_ONCE, seeds + 1 - first)
            for name, workflow, more in plays:
                playing = partial(play, workflow, more, first, some)
                parts[name].append(pool.submit(kept.part, f"{name}: {some} seeds from {first}", playing))
        try:
            ended, _ = wait([part for waited in parts.values() for part in waited], return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        for part in ended:
            part.result()
        return [(name, added([part.result() for part in waited])) for name, waited in parts.items()]


def nextest(filter, binary=None, **settings):
    """What tests print, and how long they took."""
    environment = dict(os.environ, **settings)
    if binary:
        environment["PAYRUN_TEST_BINARY"] = str(binary)
    command = ["cargo", "nextest", "run", "--locked", "--profile", "rig", "--success-output", "immediate", "-E", filter]
    output, seconds = run(command, env=environment)
    return output, seconds


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def thousands(number):
    return f"{number:,}"


def seeded_faults(printed):
    """The rows of the two tables that the test prints: noticed by a play, refused by a sandbox."""
    tables = {}
    for line in printed.splitlines():
        if line.startswith("|---"):
            continue
        if line.endswith(("| First seen as |", "| Refused by |")):
            rows = tables.setdefault(line.split(" | ")[-1], [])
        elif line.startswith("| "):
            rows.append(line)
    return tables["First seen as |"], tables["Refused by |"]


def by_hand(heading):
    """A section of the page that nothing here measures: it stays as it stands."""
    section = PAGE.read_text().split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    return f"{heading}\n{section}".rstrip("\n")


def main():
    reading = argparse.ArgumentParser()
    reading.add_argument("--seeds", type=int, default=1000)
    reading.add_argument("--kills", type=int, default=250)
    reading.add_argument("--cuts", type=int, default=50)
    chosen = reading.parse_args()
    command = f"tests/reliability.py --seeds {chosen.seeds} --kills {chosen.kills} --cuts {chosen.cuts}"
    run(["cargo", "build", "--locked", "--release", "--features", "failpoints"])
    payrun = TARGET / "release" / "payrun"
    head = run(["git", "rev-parse", "--short", "HEAD"])[0].strip()
    changed = run(["git", "status", "--porcelain", "--", "src", "crates", "migrations", "jobs", "workflows", "Cargo.toml", "Cargo.lock"])[0]
    if changed:
        sys.exit(f"what is tried must be of a commit, and this is not:\n{changed}")
    kept = Kept(head)

    plays = simulate(payrun, chosen.seeds, kept)
    disruptions = {}
    for _, told in plays:
        for word, times in told["disruptions"].items():
            disruptions[word] = disruptions.get(word, 0) + times
    activating = ["cargo", "test", "--locked", "--features", "mutation", "--test", "mutation", "--", "--nocapture"]
    printed, _ = kept.part("planted", lambda: run(activating))
    noticed, refused = seeded_faults(printed)
    kills = {"PAYRUN_RIG_KILLS": str(chosen.kills)}
    rig, rig_seconds = kept.part(f"rig: {kills}", lambda: nextest("test(/^rig::/)", payrun, **kills))
    rig_lines = [line.strip() for line in rig.splitlines() if line.strip().startswith("Done {")]
    cuts = {"PAYRUN_RIG_CUTS": str(chosen.cuts)}
    storage, _ = kept.part(f"storage: {cuts}", lambda: nextest("test(/^storage::/)", **cuts))
    storage_lines = [line.strip() for line in storage.splitlines() if re.search(r"\b(was|were) cut|took over", line)]

    seeds = sum(told["seeds"] for _, told in plays)
    failed = sum(told["failed_seeds"] for _, told in plays)
    doubled = sum(told["double_effects"] for _, told in plays)
    lost = sum(told["lost"] for _, told in plays)
    parts = [
        "# What was tried, and what came of it",
        f"Written by `{command}` at {head}; every figure is of that run, or of one of the same commit that was stopped before its "
        "end and whose finished parts were kept. [What is not covered](found-by-the-rig.md#what-is-not-covered) was not tried.",
        "## Simulation",
        f"{thousands(seeds)} seeds, {failed} of them broke a promise; double effects: {doubled}; lost items: {lost}. Each seed plays "
        "a workflow with two to five processes on one thread under a driven clock, with the real engine, ledger, clients and "
        "fake gateways. `payrun simulate WORKFLOW --seed N --seeds 1` replays one.",
        table(["Workflow", "Seeds", "Broken", "Items", "Calls", "Unknown at some time", "Longest unknown", "Seconds of a core"],
              [(name, thousands(told["seeds"]), told["failed_seeds"], thousands(sum(told["items"].values())),
                thousands(told["calls"]), thousands(told["unknown_items"]), f"{told['longest_unknown_ms'] // 1000} s",
                told["seconds"]) for name, told in plays]),
        "What went wrong in these plays, and how often:",
        table(["Disruption", "Times"], [(word, thousands(times)) for word, times in sorted(disruptions.items())]),
        "## Real processes",
        f"The release binary with its named fail points, SQLite with one process and PostgreSQL with three nodes beside each run; "
        f"`kill -9` at random moments and at each place, and a process that stood still beyond its leases on either engine. Judged "
        f"by `crates/checker/src`, which reads the journal and the gateway's books. It took {rig_seconds:.0f} s.",
        "\n".join(f"- `{line}`" for line in rig_lines),
        "## Storage",
        "SQLite on a disk that loses what was not synced and tears the last page at a chosen write or sync, and that answers EIO and "
        "ENOSPC for a while; PostgreSQL behind a proxy that cuts connections in the middle of commits, before they arrive and after, "
        "and a server that dies in the middle of a run, whose synchronous standby takes over. With a debug build.",
        "\n".join(f"- {line}" for line in storage_lines),
        "## Would it be noticed?",
        f"{len(noticed)} seeded faults were activated one by one in a test build, and seeds were played until each was seen:",
        "\n".join([*table(["Seeded fault", "Found at seed", "First seen as"], []).split("\n"), *noticed]),
        f"{len(refused)} seeded faults of signatures were activated in the clients; each was refused by its own gateway's sandbox "
        "alone, at the first call:",
        "\n".join([*table(["Seeded fault", "Refused by"], []).split("\n"), *refused]),
        by_hand("## Would the domain's own tests notice a change?"),
        "## What did it find, and what is not covered?",
        "[What the rig found](found-by-the-rig.md) has each defect with the commit that mended it, the "
        "[inputs changed by chance](found-by-the-rig.md#inputs-changed-by-chance),\n"
        "and [what is not covered](found-by-the-rig.md#what-is-not-covered).",
    ]
    PAGE.write_text("\n\n".join(parts) + "\n")
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
