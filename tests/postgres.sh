#!/usr/bin/env bash
# A throw-away PostgreSQL on loopback for the tests.
#
#   tests/postgres.sh start FOLDER   makes one in FOLDER, which must not be there, and prints its address
#   tests/postgres.sh stop FOLDER    stops it and removes FOLDER
#   tests/postgres.sh pair FOLDER    makes one with a synchronous standby; prints the addresses of both
#   tests/postgres.sh hand-over FOLDER  kills the first of a pair, and has the standby take over
#   tests/postgres.sh stop-pair FOLDER  stops what there is of a pair and removes FOLDER
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

# Below the ports that are given out to whoever asks for any: a server that stops and starts finds its own free.
free_port() {
    python3 -c '
import random, socket
while True:
    port = random.randrange(20000, 32000)
    with socket.socket() as held:
        try:
            held.bind(("127.0.0.1", port))
        except OSError:
            continue
    break
print(port)'
}

address() { echo "postgres://payrun@127.0.0.1:$1/postgres"; }

control() {
    local folder=$1
    shift
    (cd / && as_owner "$(programs)/pg_ctl" --pgdata "$folder/data" --wait --timeout 60 --silent "$@") >&2
}

make_folder() {
    mkdir -p "$1"
    chmod 755 "$1"
    [ "$(id -u)" -ne 0 ] || chown postgres "$1"
}

# Runs the server whose data is in FOLDER at PORT.
serve() {
    local folder=$1 port=$2
    control "$folder" --log "$folder/log" start \
        --options "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories='$folder' -c max_connections=300"
}

start() {
    local folder=$1 port
    make_folder "$folder"
    port=$(free_port)
    (
        cd /
        as_owner "$(programs)/initdb" --pgdata "$folder/data" --username payrun --auth trust --encoding UTF8 --locale C >"$folder/initdb.log"
    ) >&2
    serve "$folder" "$port"
    address "$port"
}

pair() {
    local folder=$1 first port
    make_folder "$folder"
    first=$(start "$folder/first")
    make_folder "$folder/second"
    port=$(free_port)
    (
        cd /
        as_owner "$(programs)/pg_basebackup" --dbname "$first" --pgdata "$folder/second/data" --write-recovery-conf --checkpoint fast
        serve "$folder/second" "$port"
        # From now on a commit is told of when the standby has it too.
        as_owner "$(programs)/psql" --no-psqlrc --quiet --dbname "$first" \
            --command "alter system set synchronous_standby_names = '*'" --command 'select pg_reload_conf()'
    ) >&2
    printf '%s\n' "$first"
    address "$port"
}

hand_over() {
    control "$1/first" --mode immediate stop
    control "$1/second" promote
}

stop() {
    control "$1" --mode immediate stop || true
    rm -rf "$1"
}

stop_pair() {
    for server in first second; do
        [ ! -e "$1/$server/data/postmaster.pid" ] || control "$1/$server" --mode immediate stop || true
    done
    rm -rf "$1"
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
    pair) pair "$2" ;;
    hand-over) hand_over "$2" ;;
    stop-pair) stop_pair "$2" ;;
    install) install ;;
    *) sed -n '2,10p' "$0" >&2; exit 2 ;;
esac
