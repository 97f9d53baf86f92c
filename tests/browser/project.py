"""Makes of the project in this folder one with every kind of thing that a page shows, hostile texts among them."""

import json
from pathlib import Path

# What breaks out of pages that do not escape, hides or turns text round, or is too long for a column. A cell keeps whatever a person
# has typed into it.
HOSTILE = [
    "<script>window.owned=1</script>",
    "\"><img src=x onerror=window.owned=1>",
    "'-window.owned=1-'",
    "</textarea><svg onload=window.owned=1>",
    "{{7*7}}${7*7}",
    "javascript:window.owned=1",
    "W" * 120,
    "很长的中文说明" * 15,
    "=cmd|'/c calc'!A1",
]

Path("hostile.json").write_text(json.dumps(HOSTILE), encoding="utf-8")

contracts = Path("data/contracts.csv").read_text(encoding="utf-8").splitlines()
rows = contracts[:13]
for number, text in enumerate(HOSTILE):
    quoted = text.replace('"', '""')
    # The plan is part of the description that the payer reads, and the id of every second row is refused.
    contract = f"Wx00010000009{number:02}" if number % 2 == 0 else quoted
    rows.append(f'"{contract}","{quoted}",10.00,HKD,yes')
    # The gateway says that there is no such contract.
    rows.append(f'"Wx0005000{number:02}-terminated","{quoted}",12.00,HKD,yes')
Path("data/few.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

# The same under keys of their own, for a run that is given up.
later = [row.replace("Wx0001", "Wx0004").replace("window", "later", 1) for row in rows[13:]]
Path("data/later.csv").write_text("\n".join([contracts[0], *later]) + "\n", encoding="utf-8")

workflow = Path("workflows/monthly-deductions.yaml").read_text(encoding="utf-8")
held = workflow.replace("workflow: monthly-deductions", "workflow: held-deductions")
held = held.replace("schedule: { every", "# schedule: { every").replace('key: "{{ item.contract_id }}/{{ run.month }}"', 'key: "held/{{ item.contract_id }}/{{ run.month }}"')
held = held.replace("    gateway: hk\n", "    gateway: hk\n    approval: { above: { HKD: \"1.00\" }, by: 1 }\n")
held = held.replace("description: ", "description: " + json.dumps(" ".join(HOSTILE)) + " # ", 1)
Path("workflows/held-deductions.yaml").write_text(held, encoding="utf-8")

# Headings that a person has to say the meaning of.
headings = HOSTILE[:5]
quoted = ",".join('"' + text.replace('"', '""') + '"' for text in headings)
rows = "".join(f"Wx0002000000{number},basic,10.00,HKD,yes\n" for number in range(3))
Path("data/headings.csv").write_text(quoted + "\n" + rows, encoding="utf-8")

# Alerts of what the pages' test does, to addresses as long as they may be; nobody takes their mails.
to = ["o" * 64 + "@" + "x" * 60 + "." + "y" * 60 + ".example", "a'b{c}|d=e@example.com"]
rules = "".join(f"  - {{ on: {on}, to: {json.dumps(to)} }}\n" for on in ("lane_suspended", "failed", "rejected", "awaiting_approval"))
config = Path("payrun.yaml")
config.write_text(
    config.read_text(encoding="utf-8")
    + "mail: { host: 127.0.0.1, port: 9, security: none, from: payrun@example.com }\nalerts:\n" + rules,
    encoding="utf-8",
)
