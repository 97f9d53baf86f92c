#!/usr/bin/env bash
# Thousands of requests made from the API's own document, good and bad, by schemathesis: whatever is asked, the answers are those
# that the document names, and never a 500. Everything is on loopback.
#
#   tests/api.sh PAYRUN FOLDER   with this binary; FOLDER keeps schemathesis for the next time
set -euo pipefail
payrun=$1
mkdir -p "$2"
tools=$(cd "$2" && pwd)
pin=schemathesis==4.32.5

if [ "$(cat "$tools/installed" 2>/dev/null)" != "$pin" ]; then
    rm -rf "$tools/python" "$tools/installed"
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check "$pin"
    printf '%s\n' "$pin" > "$tools/installed"
fi
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY PAYRUN_CONFIG PAYRUN_LOG PAYRUN_FAILPOINT

work=$(mktemp -d)
children=()
finish() {
    [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

"$payrun" init "$work/project" > "$work/init.txt"
cd "$work/project"
"$payrun" sandbox --port 0 --latency 0 > "$work/sandbox.txt" 2>&1 &
children+=($!)
for _ in $(seq 100); do
    port=$(sed -n 's|.*http://127.0.0.1:\([0-9]*\).*|\1|p' "$work/sandbox.txt" | head -1)
    [ -n "$port" ] && break
    sleep 0.1
done
sed -i "s|http://127.0.0.1:4455|http://127.0.0.1:$port|" payrun.yaml
"$payrun" serve --listen 127.0.0.1:0 > "$work/serve.txt" 2>&1 &
children+=($!)
for _ in $(seq 100); do
    address=$(sed -n 's|.*\(http://127.0.0.1:[0-9]*\)/api/v1.*|\1|p' "$work/serve.txt")
    [ -n "$address" ] && break
    sleep 0.1
done
[ -n "$address" ] || { cat "$work/serve.txt"; exit 1; }
token=$("$payrun" tokens create tester --role admin 2>/dev/null)
# Something to be listed: a run of a few rows.
head -4 data/contracts.csv > few.csv
"$payrun" run workflows/monthly-deductions.yaml --date 2026-03-31 --input few.csv --wait 10s --json > "$work/run.json"

"$tools/python/bin/schemathesis" run "$address/api/openapi.json" \
    --header "Authorization: Bearer $token" \
    --checks all --exclude-checks positive_data_acceptance,missing_required_header,ignored_auth \
    --max-examples "${PAYRUN_API_EXAMPLES:-20}" --seed 1 --request-timeout 20 --no-color --workers 2 | tee "$work/told.txt"
# Requests that are turned away at the door try nothing.
! grep "Rate limited" "$work/told.txt"
curl -sf "$address/healthz" > /dev/null || { echo "the service is gone"; cat "$work/serve.txt"; exit 1; }
! grep -i "panick" "$work/serve.txt"
