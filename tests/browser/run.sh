#!/usr/bin/env bash
# The dashboard in a browser: every page in three languages, light and dark, wide and narrow; every action by keyboard and pointer;
# and hostile texts on every page. Everything is on loopback.
#
#   tests/browser/run.sh PAYRUN FOLDER               with this binary; FOLDER keeps playwright for the next time
#   tests/browser/run.sh PAYRUN FOLDER SCREENSHOTS   the same, and pictures of every page into SCREENSHOTS
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
payrun=$1
mkdir -p "$2"
tools=$(cd "$2" && pwd)
pictures=${3:+$(mkdir -p "$3" && cd "$3" && pwd)}

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "chromium is missing; tests/run.sh --install installs it on Debian, as root" >&2; exit 2; }
pins=$(cat "$here"/package*.json | sha256sum)
if [ "$(cat "$tools/installed" 2>/dev/null)" != "$pins" ]; then
    rm -rf "$tools/node" "$tools/installed"
    mkdir "$tools/node"
    cp "$here"/package*.json "$tools/node"
    npm ci --prefix "$tools/node" --ignore-scripts --no-audit --no-fund --silent
    printf '%s\n' "$pins" >"$tools/installed"
fi
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY PAYRUN_CONFIG PAYRUN_LOG PAYRUN_FAILPOINT PAYRUN_TOKEN

work=$(mktemp -d)
children=()
finish() {
    [ ${#children[@]} -eq 0 ] || kill "${children[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

"$payrun" init "$work/project" >"$work/init.txt"
cd "$work/project"
"$payrun" sandbox --port 0 --latency 20 --faults some >"$work/sandbox.txt" 2>&1 &
children+=($!)
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
sandbox=$(address_in "$work/sandbox.txt")
sed -i "s|http://127.0.0.1:4455|$sandbox|" payrun.yaml
python3 "$here/project.py"
"$payrun" serve --listen 127.0.0.1:0 >"$work/serve.txt" 2>&1 &
children+=($!)
service=$(address_in "$work/serve.txt")
for role in viewer operator approver admin; do
    "$payrun" tokens create "the-$role" --role "$role" 2>/dev/null >"$work/$role.token"
done
# As long and as wide as the name of a token may be.
"$payrun" tokens create "$(printf 'W%.0s' {1..64})" --role admin 2>/dev/null >"$work/long.token"
NODE_PATH="$tools/node/node_modules" node "$here/pages.cjs" "$service" "$work" "$browser" ${pictures:+"$pictures"}
! grep -i "panick" "$work/serve.txt"
