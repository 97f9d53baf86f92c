#!/usr/bin/env bash
# A throw-away PostgreSQL on loopback for the tests.
#
#   tests/postgres.sh start FOLDER   makes one in FOLDER, which must not be there, and prints its address
#   tests/postgres.sh stop FOLDER    stops it and removes FOLDER
#   tests/postgres.sh install        installs Debian's package, as root, if there is no server
set -euo pipefail

# Debian keeps the server's programs in a folder of the version's.
programs() {
    local folder
    folder=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
    if [ -n "$folder" ]; then echo "$folder"; else dirname "$(command -v initdb)"; fi
}

# The server refuses to run as root.
as_owner() {
    if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

start() {
    local folder=$1 bin port
    bin=$(programs)
    mkdir -p "$folder"
    chmod 755 "$folder"
    [ "$(id -u)" -eq 0 ] && chown postgres "$folder"
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    (
        cd /
        as_owner "$bin/initdb" --pgdata "$folder/data" --username payrun --auth trust --encoding UTF8 --locale C >"$folder/initdb.log"
        as_owner "$bin/pg_ctl" --pgdata "$folder/data" --log "$folder/log" --wait --timeout 60 --silent start \
            --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='$folder' -c max_connections=300"
    ) >&2
    echo "postgres://payrun@127.0.0.1:$port/postgres"
}

stop() {
    local folder=$1 bin
    bin=$(programs)
    (cd / && as_owner "$bin/pg_ctl" --pgdata "$folder/data" --mode immediate --silent stop) >&2 || true
    rm -rf "$folder"
}

install() {
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "missing: a PostgreSQL server; install it, or set PAYRUN_TEST_POSTGRES to the address of one for tests" >&2
        exit 2
    fi
    # Debian's package would start a server of its own, which nobody needs here.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql
}

case "${1:-}" in
    start) start "$2" ;;
    stop) stop "$2" ;;
    install) install ;;
    *) sed -n '2,7p' "$0" >&2; exit 2 ;;
esac
