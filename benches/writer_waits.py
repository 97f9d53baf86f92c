#!/usr/bin/env python3
"""How long a plan on SQLite keeps others from the writer: python3 benches/writer_waits.py PAYRUN ROWS

Makes a project in a folder of its own, pauses everything, plans a run of so many contracts, and asks for the writer every 5 ms from
another process until the run is there.
"""

import os
import pathlib
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

payrun, rows = os.path.abspath(sys.argv[1]), int(sys.argv[2])
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    subprocess.run([payrun, "init", "p"], check=True, stdout=subprocess.DEVNULL)
    os.chdir("p")
    with open("data/some.csv", "w") as file:
        file.write("contract_id,plan,amount,currency,active\n")
        file.writelines(f"Wx{number:013},basic,38.00,HKD,yes\n" for number in range(rows))
    # The ready workflow has limits of its own, for people.
    workflow = pathlib.Path("workflows/monthly-deductions.yaml")
    workflow.write_text(re.sub(r"(?m)^    limits:\n(      .*\n)+", "", workflow.read_text()))
    subprocess.run([payrun, "pause", "all", "--reason", "measuring"], check=True, stdout=subprocess.DEVNULL)
    command = [payrun, "run", "workflows/monthly-deductions.yaml", "--var", "contracts=../data/some.csv", "--wait", "1s"]
    ledger = sqlite3.connect("payrun.db", timeout=120, isolation_level=None)
    began, waits, planned, peak = time.time(), [], None, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while planned is None and process.poll() is None:
        asked = time.time()
        ledger.execute("begin immediate")
        waits.append(time.time() - asked)
        if ledger.execute("select count(*) from runs").fetchone()[0]:
            planned = time.time() - began
        ledger.execute("rollback")
        status = pathlib.Path(f"/proc/{process.pid}/status")
        for line in status.read_text().splitlines() if status.exists() else []:
            peak = max(peak, int(line.split()[1]) // 1024) if line.startswith("VmHWM") else peak
        time.sleep(0.005)
    # With everything paused the run ends when it is planned, perhaps before it was seen.
    if planned is None and ledger.execute("select count(*) from runs").fetchone()[0]:
        planned = time.time() - began
    process.send_signal(signal.SIGINT)
    process.wait()
    os.chdir("/")
if planned is None:
    sys.exit("the run ended before it was planned")
used = resource.getrusage(resource.RUSAGE_CHILDREN)
waits.sort()
print(
    f"{rows:,} rows planned in {planned:.1f} s, CPU {used.ru_utime + used.ru_stime:.1f} s; asked {len(waits):,} times: "
    f"99 of 100 within {waits[int(len(waits) * 0.99)] * 1000:.0f} ms, longest {waits[-1] * 1000:.0f} ms; resident {peak} MiB"
)
