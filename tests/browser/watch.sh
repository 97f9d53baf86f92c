#!/usr/bin/env bash
# A run of 20,000 items, watched to its end by two people, one on the page of the run and one on Today, neither of whom loads it again.
# Everything is on loopback. It takes as long as the run does: with a release build less than a minute.
#
#   tests/browser/watch.sh PAYRUN FOLDER [ITEMS]   with this binary; FOLDER has playwright from tests/browser/run.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
payrun=$(realpath "$1")
tools=$(cd "$2" && pwd)
items=${3:-20000}
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "chromium is missing; tests/run.sh --install installs it on Debian, as root" >&2; exit 2; }
[ -d "$tools/node/node_modules" ] || { echo "$tools has no playwright; tests/browser/run.sh puts it there" >&2; exit 2; }
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY PAYRUN_CONFIG PAYRUN_LOG PAYRUN_FAILPOINT PAYRUN_TOKEN

work=$(mktemp -d)
children=()
finish() {
    [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT
# Waits until a file has an address, and prints it.
address_in() {
    local address
    for _ in $(seq 200); do
        address=$(grep -o 'http://127\.0\.0\.1:[0-9]*' "$1" | head -1 || true)
        [ -z "$address" ] || { echo "$address"; return; }
        sleep 0.1
    done
    cat "$1" >&2
    exit 1
}

"$payrun" init "$work/project" >"$work/init.txt"
cd "$work/project"
"$payrun" sandbox --port 0 --latency 2 --faults none >"$work/sandbox.txt" 2>&1 &
children+=($!)
sandbox=$(address_in "$work/sandbox.txt")
sed -i "s|http://127.0.0.1:4455|$sandbox|; s|^    rate: .*|    rate: 5000/s|; s|^    concurrency: .*|    concurrency: 128|" payrun.yaml
python3 - "$items" <<'ROWS'
import sys
from pathlib import Path

rows = [f"Wx{number:013},basic,{38 + number % 50}.00,HKD,yes" for number in range(int(sys.argv[1]))]
Path("data/many.csv").write_text("\n".join(["contract_id,plan,amount,currency,active", *rows]) + "\n", encoding="utf-8")
workflow = Path("workflows/monthly-deductions.yaml")
# Its limits are those of a shop of another size.
text = workflow.read_text(encoding="utf-8").split("\n    limits:")[0] + "\n"
workflow.write_text(text, encoding="utf-8")
ROWS
"$payrun" serve --listen 127.0.0.1:0 >"$work/serve.txt" 2>&1 &
children+=($!)
service=$(address_in "$work/serve.txt")
for role in viewer operator; do
    "$payrun" tokens create "the-$role" --role "$role" 2>/dev/null >"$work/$role.token"
done
NODE_PATH="$tools/node/node_modules" node "$here/watch.cjs" "$service" "$work" "$browser" "$items"
! grep -i "panick" "$work/serve.txt"
