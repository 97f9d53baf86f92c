#!/usr/bin/env python3
"""Makes the workbooks of this folder, as people's programs make them: README.md says with what.

Each comes from openpyxl, and most of them again from LibreOffice, which opens that file and saves it.
Nothing in them says when, where or by whom they were made."""

import re
import subprocess
import sys
import tempfile
import zipfile
from datetime import date, datetime
from pathlib import Path

from openpyxl import Workbook
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.utils import get_column_letter
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.table import Table

HERE = Path(__file__).resolve().parent
MADE = (2026, 3, 31, 0, 0, 0)

CONTRACTS = ["签约协议号", "套餐", "扣款日", "金额", "币种", "是否有效"]
ORDERS = ["商户订单号", "支付单号", "商户子订单号", "海关代码", "金额", "商品价格", "物流费用", "证件号码", "订购人姓名"]

EIGHT = "00000000"
CHINESE = 'yyyy"年"m"月"d"日"'
CHINESE_OF_EXCEL = '[$-804]yyyy"年"m"月"d"日";@'
ISO = "yyyy-mm-dd"
SLASHES = "yyyy/m/d"
MARCH = date(2026, 3, 31)


def put(sheet, row, values):
    """A row; a value may be (value, number format)."""
    for column, value in enumerate(values, start=1):
        value, number_format = value if isinstance(value, tuple) else (value, None)
        cell = sheet.cell(row, column, value)
        if number_format:
            cell.number_format = number_format


def titled(headings, title):
    """A sheet with two merged rows of title above its header, and one beside it that is not meant."""
    book = Workbook()
    sheet = book.active
    sheet.title = "扣款明细"
    last = get_column_letter(len(headings))
    sheet["A1"], sheet["A2"] = title, "制表：财务部"
    for row in (1, 2):
        sheet.merge_cells(f"A{row}:{last}{row}")
    put(sheet, 3, headings)
    notes = book.create_sheet("说明")
    notes["A1"] = "金额以主币种单位填写"
    return book, sheet


def plain(headings=CONTRACTS):
    book = Workbook()
    put(book.active, 1, headings)
    return book, book.active


def rows():
    """What can be read, each cell as somebody would type it."""
    book, sheet = titled(CONTRACTS, "二〇二六年三月扣款")
    bold = TextBlock(InlineFont(b=True), "基础")
    for row, values in enumerate(
        [
            ["00001234", "基础会员", (MARCH, ISO), 38, "HKD", "yes"],
            [(1235, EIGHT), CellRichText(bold, "会员"), (MARCH, CHINESE), (1138.5, "#,##0.00"), "HKD", "yes"],
            [1236, "家庭", (MARCH, CHINESE_OF_EXCEL), (88, '"HK$"#,##0.00'), "HKD", "yes"],
            ["WxK4", "家庭 全年", (MARCH, SLASHES), (88.8, "[$HK$-C04]#,##0.00"), "HKD", "yes"],
            ["\u200bWxK5\ufeff", "Basic", (datetime(2026, 3, 31), "mm-dd-yy"), (1234567.89, '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)'), "HKD", "yes"],
            ["4200002345678900001", "长号", "2026-03-31", "38.00", "HKD", "yes"],
            ["WxK7", "全角", (MARCH, ISO), "３８．５０", "HKD", "yes"],
            ["WxK8", "停用", (MARCH, ISO), 38, "HKD", "no"],
            ["WxK9", "两行\u3000空格", (MARCH, ISO), (0.1, "0.00"), "HKD", "yes"],
        ],
        start=4,
    ):
        put(sheet, row, values)
    sheet.add_table(Table(displayName="明细", ref="A3:F12"))
    return book


def wrong():
    """Cells that show something else than they hold, or nothing that counts."""
    book, sheet = plain()
    for row, values in enumerate(
        [
            ["W2", "good", (MARCH, ISO), 38, "HKD", "yes"],
            ["W3", "percent", (MARCH, ISO), (0.38, "0.00%"), "HKD", "yes"],
            ["W4", "rounded", (MARCH, ISO), (38.456, "0.00"), "HKD", "yes"],
            [(4200002345678900001, "0"), "19 digits", (MARCH, ISO), 38, "HKD", "yes"],
            [(201507000, "0.00E+00"), "scientific", (MARCH, ISO), 38, "HKD", "yes"],
            ["W7", "error", (MARCH, ISO), "#N/A", "HKD", "yes"],
            ["W8", "a date is the amount", (MARCH, ISO), (datetime(1900, 2, 7), ISO), "HKD", "yes"],
            ["W9", "a sum of fractions", (MARCH, ISO), 0.1 + 0.2, "HKD", "yes"],
            ["W10", "长" * 2000, (MARCH, ISO), 38, "HKD", "yes"],
            ["W 11", "a blank within", (MARCH, ISO), 38, "HKD", "yes"],
            ["W\u200b12", "an invisible character within", (MARCH, ISO), 38, "HKD", "yes"],
            ["W13", "thousands", (MARCH, ISO), (38000, "#,##0.0,"), "HKD", "yes"],
            [(123456, "000-000"), "hyphen", (MARCH, ISO), 38, "HKD", "yes"],
            ["W15", "hours", (1.5, "[h]:mm"), 38, "HKD", "yes"],
            ["W16", "negative in red", (MARCH, ISO), (-38, "#,##0.00;[Red](#,##0.00)"), "HKD", "yes"],
            ["W17", "nothing is shown", (MARCH, ISO), (38, ";;;"), "HKD", "yes"],
            ["W18", "shown in 万", (MARCH, ISO), (380000, '0!.0,"万"'), "HKD", "yes"],
            ["W19", "good", (MARCH, ISO), 38, "HKD", "yes"],
        ],
        start=2,
    ):
        put(sheet, row, values)
    return book


def formulas():
    """Formulas, whose values openpyxl does not know and LibreOffice calculates."""
    book, sheet = plain()
    put(sheet, 2, ["F2", "sum", (MARCH, ISO), "=30+8", "HKD", "yes"])
    put(sheet, 3, ["F3", "rounded", (MARCH, ISO), ("=ROUND(100/3,2)", "0.00"), "HKD", "yes"])
    put(sheet, 4, ["F4", "not rounded", (MARCH, ISO), "=100/3", "HKD", "yes"])
    put(sheet, 5, ['="F"&5', "text", ("=DATE(2026,3,31)", ISO), 38, "HKD", '=IF(D5>0,"yes","no")'])
    put(sheet, 6, ["F6", "nothing to divide by", (MARCH, ISO), "=1/0", "HKD", "yes"])
    put(sheet, 7, ["F7", '=""', (MARCH, ISO), 38, "HKD", "yes"])
    return book


def hidden_column():
    book, sheet = plain()
    put(sheet, 2, ["H2", "Basic", (MARCH, ISO), 38, "HKD", "yes"])
    sheet.column_dimensions["D"].hidden = True
    return book


def filtered_rows():
    book, sheet = plain()
    for row in range(2, 7):
        put(sheet, row, [f"H{row}", "甲" if row % 2 else "乙", (MARCH, ISO), 38, "HKD", "yes"])
    sheet.auto_filter.ref = "A1:F6"
    sheet.auto_filter.add_filter_column(1, ["甲"])
    for row in (2, 4, 6):
        sheet.row_dimensions[row].hidden = True
    return book


def since_1904():
    """Excel on old Macs counts its days from 1904."""
    book, sheet = plain()
    book.epoch = CALENDAR_MAC_1904
    put(sheet, 2, ["M2", "Basic", (MARCH, ISO), 38, "HKD", "yes"])
    put(sheet, 3, ["M3", "Basic", (MARCH, CHINESE), 38, "HKD", "yes"])
    put(sheet, 4, ["M4", "Basic", (datetime(2026, 3, 31, 23, 59, 59), "yyyy-mm-dd hh:mm:ss"), 38, "HKD", "yes"])
    return book


def reading():
    """A text with its reading beside it, as Excel of East Asia keeps it; it is no part of the text."""
    book, sheet = plain()
    put(sheet, 2, ["K-8", "漢字", "2026-03-31", "38.00", "HKD", "yes"])
    return book


def customs():
    """Sub-orders to be declared; the persons are made up."""
    book, sheet = titled(ORDERS, "申报明细")
    sheet.title = "申报"
    number = "110101199003071014"
    for row, values in enumerate(
        [
            ["PAY-1", "4200002345678900001", "SUB-1", "SHENZHEN", 10, 9, 1, number, "测试一"],
            ["PAY-1", "4200002345678900001", "SUB-2", "SHENZHEN", (1010.5, "¥#,##0.00"), (1000, "¥#,##0.00"), (10.5, "¥#,##0.00"), number, "阿卜杜拉·测试江"],
            [(20260331, EIGHT), "4200002345678900002", (3, EIGHT), "SHENZHEN", 10, 9, 1, "11010119900307002x", "测试一"],
            ["PAY-4", 4200002345678900001, "SUB-4", "SHENZHEN", 10, 9, 1, number, "测试一"],
            ["PAY-5", "4200002345678900005", "SUB-5", "SHENZHEN", 10, 9, 1, int(number), "测试一"],
            ["PAY-6", "4200002345678900006", "SUB-6", "SHENZHEN", 10, 9, 1, "\u200b" + number, "测试一"],
            ["PAY-7", "4200002345678900007", "SUB-7", "SHENZHEN", 10, 8, 1, number, "测试一"],
        ],
        start=4,
    ):
        put(sheet, row, values)
    return book


def soffice(source, kind, folder, *filters):
    """LibreOffice opens a file and saves it as another kind."""
    profile = (Path(tempfile.gettempdir()) / "payrun-libreoffice").as_uri()
    asked = ["soffice", f"-env:UserInstallation={profile}", "--headless", *filters, "--convert-to", kind, "--outdir", str(folder), str(source)]
    subprocess.run(asked, check=True, stdout=subprocess.DEVNULL)
    made = folder / f"{source.stem}.{kind.split(':')[0]}"
    if not made.exists():
        sys.exit(f"LibreOffice did not make {made.name}")
    return made


def strip(made, name, change=lambda part, text: text):
    """Takes times and makers out, so that the same commands make the same file."""
    with zipfile.ZipFile(made) as read, zipfile.ZipFile(HERE / name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as write:
        for part in read.namelist():
            data = change(part, read.read(part))
            if part == "docProps/core.xml":
                data = re.sub(rb"(<dcterms:(created|modified)[^>]*>)[^<]*", rb"\g<1>2026-03-31T00:00:00Z", data)
                data = re.sub(rb"<(dc:creator|cp:lastModifiedBy)>[^<]*</[^>]*>", b"", data)
            write.writestr(zipfile.ZipInfo(part, MADE), data, zipfile.ZIP_DEFLATED)


def with_a_reading(part, data):
    if part != "xl/worksheets/sheet1.xml":
        return data
    beside = "漢字</t><rPh sb=\"0\" eb=\"2\"><t>カンジ</t></rPh><phoneticPr fontId=\"1\"/></is>"
    return data.decode().replace("漢字</t></is>", beside).encode()


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for make in (rows, wrong, formulas, hidden_column, filtered_rows, since_1904, reading, customs):
            name = make.__name__
            source = folder / f"{name}.xlsx"
            make().save(source)
            strip(source, f"{name}.openpyxl.xlsx", with_a_reading if make is reading else lambda _, data: data)
            if make not in (hidden_column, reading):
                again = folder / "again"
                strip(soffice(source, "xlsx:Calc MS Excel 2007 XML", again), f"{name}.libreoffice.xlsx")
        source = folder / "rows.xlsx"
        ods = soffice(source, "ods", folder)
        strip(soffice(ods, "xlsx:Calc MS Excel 2007 XML", folder / "ods"), "rows.ods.xlsx")
        # As shown, and taken in again with every column as text.
        csv = soffice(source, "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true", folder)
        text = "--infilter=Text - txt - csv (StarCalc):44,34,76,1,1/2/2/2/3/2/4/2/5/2/6/2"
        strip(soffice(csv, "xlsx:Calc MS Excel 2007 XML", folder / "csv", text), "rows.csv.xlsx")


main()
