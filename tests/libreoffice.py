#!/usr/bin/env python3
"""Compares what LibreOffice shows of payrun's workbooks with payrun's own JSON: tests/libreoffice.sh calls it.

A sheet has the columns of the JSON in its order, without those that have nothing in them. So each column of a sheet must be,
value by value, one of the next columns of the JSON, and what is passed over must be empty."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

OUT = Path(sys.argv[1])
INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)([+-]\d\d:\d\d|Z)$")


def expected(value):
    """A value of JSON, as a sheet shows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    text = str(value)
    instant = INSTANT.fullmatch(text)
    return f"{instant[1]} {instant[2]}" if instant else text


def shown(text):
    """A cell of LibreOffice, without the commas between thousands and what a format leaves free behind a number."""
    number = re.fullmatch(r"(-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?) ?", text)
    return number[1].replace(",", "") if number else text.rstrip(" ")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        headings, *rows = csv.reader(file)
    return [heading.rstrip(" ") for heading in headings], [[shown(cell) for cell in row] for row in rows]


def is_nothing(values):
    return all(value in ("", "0", "0.00") for value in values)


def compared_in_order(name, headings, rows, objects):
    """How many cells are the same."""
    names = list(objects[0]) if objects else []
    assert len(rows) == len(objects), f"{name}: {len(rows)} rows, and {len(objects)} in JSON"
    place = 0
    for column, heading in enumerate(headings):
        cells = [row[column] for row in rows]
        while True:
            assert place < len(names) or not rows, f"{name}: column {heading} is not in the JSON: {cells[:3]}"
            if not rows:
                break
            wanted = [expected(one[names[place]]) for one in objects]
            place += 1
            if wanted == cells:
                break
            differs = next((at for at, pair in enumerate(zip(cells, wanted)) if pair[0] != pair[1]))
            assert is_nothing(wanted), f"{name}: {heading} row {differs + 2}: {cells[differs]!r}, in JSON {names[place - 1]} {wanted[differs]!r}"
    return len(rows) * len(headings)


def compared_by_name(name, headings, rows, objects):
    """The JSON of a report has its names in the order of letters."""
    assert len(rows) == len(objects), f"{name}: {len(rows)} rows, and {len(objects)} in JSON"
    for column, heading in enumerate(headings):
        key = re.sub(r" \([A-Z][A-Za-z_]+/[A-Za-z_/]+\)$", "", heading).replace(" ", "_")
        for at, (row, one) in enumerate(zip(rows, objects)):
            assert key in one, f"{name}: column {heading} is not in the JSON"
            wanted = expected(one[key])
            assert row[column] == wanted, f"{name}: {heading} row {at + 2}: {row[column]!r}, in JSON {wanted!r}"
    return len(rows) * len(headings)


def compared(workbook):
    told = json.loads(workbook.with_suffix(".json").read_text())
    sheets = sorted((OUT / "csv").glob(f"{workbook.stem}-*.csv"))
    assert sheets, f"{workbook.name}: LibreOffice did not open it"
    cells = 0
    for sheet in sheets:
        headings, rows = rows_of(sheet)
        name = sheet.stem.removeprefix(f"{workbook.stem}-")
        if isinstance(told, list):
            cells += compared_in_order(sheet.name, headings, rows, told)
        elif name != "report":
            cells += compared_by_name(sheet.name, headings, rows, told[name])
    return len(sheets), cells


def pages(workbook):
    pdf = OUT / "pdf" / f"{workbook.stem}.pdf"
    info = subprocess.run(["pdfinfo", pdf], check=True, capture_output=True, text=True).stdout
    text = subprocess.run(["pdftotext", "-layout", pdf, "-"], check=True, capture_output=True, text=True).stdout
    assert "###" not in text, f"{pdf.name}: a number has no room in its column"
    return int(re.search(r"Pages:\s+(\d+)", info)[1])


def main():
    for workbook in sorted(OUT.glob("*.xlsx")):
        sheets, cells = compared(workbook)
        print(f"{workbook.stem:<14} {sheets} sheets, {cells:>6} cells as in JSON, {pages(workbook):>3} pages printed")


main()
