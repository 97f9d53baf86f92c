#!/usr/bin/env bash
# What payrun writes for a spreadsheet, opened in LibreOffice: each cell there is what payrun's own JSON says, and nothing is printed
# as ####. By hand: it needs soffice, pdfinfo and pdftotext (Debian: libreoffice-calc, poppler-utils). Everything is on loopback.
#
#   tests/libreoffice.sh PAYRUN FOLDER   with this binary; FOLDER, which must not be there, keeps workbooks, CSV and PDF to look at
set -euo pipefail
payrun=$(realpath "$1")
mkdir "$2"
out=$(cd "$2" && pwd)
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY PAYRUN_CONFIG PAYRUN_LOG PAYRUN_FAILPOINT
compare=$(cd "$(dirname "$0")" && pwd)/libreoffice.py

work=$(mktemp -d)
children=()
finish() {
    [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

# A list or a report, for the spreadsheet and for programs.
write() {
    local name=$1
    shift
    "$payrun" "$@" -o "$out/$name.xlsx" >/dev/null
    "$payrun" "$@" -o "$out/$name.json" >/dev/null
}

cd "$work"
"$payrun" demo --items 60 >demo.txt
cd payrun-demo
# Names, ids and amounts that a spreadsheet likes to change.
cat >data/kept.csv <<'ROWS'
contract_id,amount,currency,start,every,anchor_day,description
0000000000000012345,1234567.89,HKD,2030-12-01,month,31,家庭会员（全年）
4200002345678900001,38.00,HKD,2030-12-15,month,,"=HYPERLINK(""http://x"")"
C-3,500,JPY,2030-12-15,week,,2026-12
1E5,0.10,HKD,2030-12-15,month,,"two words, a comma and ""quotes"""
ROWS
"$payrun" contracts import data/kept.csv --gateway hk >/dev/null
"$payrun" contracts suspend C-3 --reason "请暂停" >/dev/null
write items items
write runs runs
write totals totals 1
write contracts contracts list
write audit audit export
write report-run report run 1
write report-month report month "$(TZ=Asia/Hong_Kong date +%Y-%m)"

# Another ledger knows nothing of what the gateway charged: each charge is a difference.
cd "$work"
"$payrun" init other >/dev/null
cd other
"$payrun" sandbox --port 0 --latency 0 >sandbox.txt 2>&1 &
children+=($!)
for _ in $(seq 100); do
    port=$(sed -n 's|.*http://127.0.0.1:\([0-9]*\).*|\1|p' sandbox.txt | head -1)
    [ -n "$port" ] && break
    sleep 0.1
done
sed -i "s|http://127.0.0.1:4455|http://127.0.0.1:$port|" payrun.yaml
head -9 data/contracts.csv >few.csv
"$payrun" run workflows/monthly-deductions.yaml --input few.csv --wait 30s >/dev/null
sed -i 's/^database: .*/database: other.db/' payrun.yaml
sed 's/days: 3/days: 1, until: today/; s/window: 3/window: 1, until: today/; s/^\( *\)date: "{{ item.date }}"/&\n\1open_day: keep/' \
    ready/daily-reconciliation.yaml >workflows/reconcile.yaml
"$payrun" run workflows/reconcile.yaml --wait 30s >/dev/null || [ $? -eq 3 ]
write differences differences list

# As shown, a file a sheet.
shown='csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false,false,-1'
profile=-env:UserInstallation=file://$work/profile
soffice "$profile" --headless --convert-to "$shown" --outdir "$out/csv" "$out"/*.xlsx >/dev/null 2>&1
soffice "$profile" --headless --convert-to pdf --outdir "$out/pdf" "$out"/*.xlsx >/dev/null 2>&1
python3 "$compare" "$out"
