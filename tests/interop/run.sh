#!/usr/bin/env bash
# Other people's clients against our sandbox, and our client before their verifiers: what both of our sides got wrong in the
# same way, tests of our own cannot see. Everything is on loopback, and nothing goes into the repository.
#
#   tests/interop/run.sh PAYRUN FOLDER   with this binary; FOLDER keeps the clients for the next time
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
payrun=$1
mkdir -p "$2"
clients=$(cd "$2" && pwd)

install_clients() {
    local pins
    pins=$(cat "$here"/requirements.txt "$here"/package*.json | sha256sum)
    [ "$(cat "$clients/installed" 2>/dev/null)" = "$pins" ] && return
    rm -rf "$clients/python" "$clients/node" "$clients/installed"
    python3 -m venv "$clients/python"
    "$clients/python/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
        --requirement "$here/requirements.txt"
    mkdir "$clients/node"
    cp "$here"/package*.json "$clients/node"
    npm ci --prefix "$clients/node" --ignore-scripts --no-audit --no-fund --silent
    printf '%s\n' "$pins" > "$clients/installed"
}

install_clients
# From here on nothing of the tester's settings may lead anything away from loopback.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY PAYRUN_CONFIG PAYRUN_LOG PAYRUN_FAILPOINT

work=$(mktemp -d)
sandbox=
finish() {
    [ -z "$sandbox" ] || kill "$sandbox" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

"$payrun" init "$work/project" > "$work/init.txt"
(cd "$work/project" && exec "$payrun" sandbox --port 0 --latency 0) > "$work/sandbox.txt" 2>&1 &
sandbox=$!
address=
for _ in $(seq 100); do
    address=$(sed -n 's|.*listens on \(http://127\.0\.0\.1:[0-9]*\).*|\1|p' "$work/sandbox.txt")
    [ -z "$address" ] || break
    kill -0 "$sandbox" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$address" ]; then
    echo "the sandbox does not listen:" >&2
    cat "$work/sandbox.txt" >&2
    exit 1
fi

export PYTHONDONTWRITEBYTECODE=1
echo "-- PyPI wechatpayv3"
"$clients/python/bin/python" "$here/wechatpayv3.py" "$work/project" "$address" "$payrun"
echo "-- npm wechatpay-axios-plugin"
node "$here/axios.mjs" "$clients/node" "$work/project" "$address" "$payrun"
echo "-- PyPI evocloud-sdk"
"$clients/python/bin/python" "$here/evocloud.py" "$work/project" "$address"
