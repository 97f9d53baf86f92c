"""Makes of the project in this folder one with every kind of thing that a page shows, hostile texts among them."""

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

contracts = Path("data/contracts.csv").read_text(encoding="utf-8").splitlines()
rows = contracts[:13]
for number, text in enumerate(HOSTILE):
    quoted = text.replace('"', '""')
    # The plan is part of the description that the payer reads, and the id of every second row is refused.
    contract = f"Wx00010000009{number:02}" if number % 2 == 0 else quoted
    rows.append(f'"{contract}","{quoted}",10.00,HKD,yes')
Path("data/few.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

workflow = Path("workflows/monthly-deductions.yaml").read_text(encoding="utf-8")
held = workflow.replace("workflow: monthly-deductions", "workflow: held-deductions")
held = held.replace("schedule: { every", "# schedule: { every").replace('key: "{{ item.contract_id }}/{{ run.month }}"', 'key: "held/{{ item.contract_id }}/{{ run.month }}"')
held = held.replace("    gateway: hk\n", "    gateway: hk\n    approval: { above: { HKD: \"1.00\" }, by: 1 }\n")
Path("workflows/held-deductions.yaml").write_text(held, encoding="utf-8")
