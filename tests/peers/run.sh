#!/usr/bin/env bash
# Ours against grpcio, as client and as server, and against curl and h2load.
#
#   tests/peers/run.sh            both; what cannot be had is skipped, and said to be
#   tests/peers/run.sh install    grpcio, into a virtual environment in the user's cache; fails if it cannot
#   tests/peers/run.sh grpcio     the cases of peers.py and examples/peer_client, both ways
#   tests/peers/run.sh companions grpcio-health-checking, grpcio-reflection, grpcio-status and grpcio-channelz, both ways, over TCP and UNIX sockets
#   tests/peers/run.sh page       the page of channelz in headless chromium, where there is one; a picture of it in target/
#   tests/peers/run.sh buf        buf curl, which knows our services by reflection alone
#   tests/peers/run.sh proxies    nginx and haproxy between ours and ours (tests/proxies)
#   tests/peers/run.sh tools      curl and h2load, by ../shared/tools/http2/peers.sh beside the checkout
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
exec </dev/null

cache=${GRPC_THREADS_TOOLS:-${HOME:?}/.cache/grpc-threads-tools}/peers
python=$cache/bin/python
# An environment of their own: where one of these cannot be had, grpcio may all the same.
companions=$cache-companions
packages="grpcio==1.85.1 grpcio-health-checking==1.85.1 grpcio-reflection==1.85.1 grpcio-status==1.85.1 grpcio-channelz==1.85.0"
grpcio=grpcio==1.85.1
tools=$root/../shared/tools/http2/peers.sh
programs=${CARGO_TARGET_DIR:-$root/target}/debug/examples
work=$(mktemp -d)
server=

die() { printf 'peers: %s\n' "$*" >&2; exit 1; }

finish() {
    local status=$?
    # The server ends with its input; this is for one that does not.
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

install() {
    if [ "$(cat "$cache/.installed" 2>/dev/null)" = "$grpcio" ]; then return 0; fi
    command -v python3 >/dev/null || { echo "no python3"; return 1; }
    rm -rf "$cache"
    # Spelled out, since `set -e` does not hold within a condition.
    python3 -m venv "$cache" && "$cache/bin/pip" install -q --disable-pip-version-check --only-binary :all: "$grpcio" &&
        echo "$grpcio" >"$cache/.installed"
}

install_companions() {
    if [ "$(cat "$companions/.installed" 2>/dev/null)" = "$packages" ]; then return 0; fi
    command -v python3 >/dev/null || { echo "no python3"; return 1; }
    rm -rf "$companions"
    # One word each.
    # shellcheck disable=SC2086
    python3 -m venv "$companions" &&
        "$companions/bin/pip" install -q --disable-pip-version-check --only-binary :all: $packages &&
        echo "$packages" >"$companions/.installed"
}

# start COMMAND...: a server that ends with its input, and where it listens: $tcp and $unix.
start() {
    rm -f "$work/input" "$work/listening"
    # Its input is a pipe that nobody writes to; it ends when we do.
    mkfifo "$work/input"
    "$@" <"$work/input" >"$work/listening" 2>"$work/server.log" &
    server=$!
    exec 9>"$work/input"
    for _ in $(seq 300); do
        if grep -q . "$work/listening"; then break; fi
        sleep 0.1
    done
    read -r _ _ tcp _ unix <"$work/listening" || die "the server does not listen: $(cat "$work/server.log")"
}

stop() {
    exec 9>&-
    wait "$server" || die "the server ended with status $?: $(cat "$work/server.log")"
    server=
}

run_companions() {
    local tcp unix target
    cargo build --quiet --example companions
    echo "grpcio's health, reflection, status and channelz call ours"
    start "$programs/companions" --serve
    for target in "$tcp" "$unix"; do
        timeout 100 "$companions/bin/python" -B tests/peers/companions.py client "$target" ||
            die "the companions as clients"
    done
    stop
    echo "ours call theirs"
    start "$companions/bin/python" -B tests/peers/companions.py server
    for target in "$tcp" "$unix"; do
        timeout 100 "$programs/companions" --call="$target" || die "the companions as servers"
    done
    stop
}

buf=$cache-buf
buf_version=1.75.0

install_buf() {
    if [ "$(cat "$buf/.installed" 2>/dev/null)" = "$buf_version" ]; then return 0; fi
    command -v npm >/dev/null || { echo "no npm"; return 1; }
    rm -rf "$buf"
    mkdir -p "$buf" && npm install --silent --no-audit --no-fund --prefix "$buf" "@bufbuild/buf@$buf_version" &&
        "$buf/node_modules/.bin/buf" --version >/dev/null && echo "$buf_version" >"$buf/.installed"
}

# It lists and calls all four kinds, with no .proto at hand.
run_buf() {
    local tcp unix url
    cargo build --quiet --example reflection
    start "$programs/reflection" --port 0
    url=http://$tcp
    # said WHAT PATTERN BUF-ARGUMENT...: what it prints, without blanks
    said() {
        local what=$1 pattern=$2 got
        shift 2
        got=$(timeout 60 "$buf/node_modules/.bin/buf" curl --protocol grpc --http2-prior-knowledge "$@" 2>&1 | tr -d ' \n') || true
        expect "buf: $what" "$got" "$pattern"
        echo "passed buf $what"
    }
    said "lists" '^helloworld.Greeter/SayHellohelloworld.Greeter/SayHelloBidiStreamh' --list-methods "$url"
    said "one response" '^\{"message":"Hello,buf!"\}$' -d '{"name":"buf"}' "$url/helloworld.Greeter/SayHello"
    said "a stream of responses" 'morning,buf.*day,buf.*night,buf' -d '{"name":"buf"}' "$url/helloworld.Greeter/SayHelloStreamReply"
    said "a stream of requests" '"Hello,aandb!"' -d '{"name":"a"}{"name":"b"}' "$url/helloworld.Greeter/SayHelloToAll"
    said "streams both ways" '"Hello,a!".*"Hello,b!"' -d '{"name":"a"}{"name":"b"}' "$url/helloworld.Greeter/SayHelloBidiStream"
    said "an error" '"code":"invalid_argument"' -d '{"name":""}' "$url/helloworld.Greeter/SayHello"
    stop
}

# The page of channelz in a browser, as a picture and as the browser has read it.
browser() {
    local name
    for name in chromium chromium-browser google-chrome chrome-headless-shell; do
        if command -v "$name"; then return 0; fi
    done
    return 1
}

# Debian's packages, without a server of their own; only root can install them.
install_proxies() {
    if PATH=$PATH:/usr/sbin command -v nginx >/dev/null && PATH=$PATH:/usr/sbin command -v haproxy >/dev/null; then return 0; fi
    [ "$(id -u)" = 0 ] || { echo "nginx or haproxy is missing, and only root can install them"; return 1; }
    command -v apt-get >/dev/null || { echo "no apt-get"; return 1; }
    apt-get -o DPkg::Lock::Timeout=300 update -q && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends nginx-light haproxy
}

run_proxies() {
    timeout 300 cargo test --quiet --test proxies
    echo "nginx and haproxy: passed"
}

run_page() {
    local chromium url shot=${CARGO_TARGET_DIR:-$root/target}/channelz.png
    chromium=$(browser) || { echo "skipped: the page of channelz in a browser (there is no chromium; Debian has one)"; return 0; }
    cargo build --quiet --example channelz
    mkfifo "$work/input"
    "$programs/channelz" --pages 0 <"$work/input" >"$work/listening" 2>"$work/server.log" &
    server=$!
    exec 9>"$work/input"
    for _ in $(seq 100); do
        if grep -q . "$work/listening"; then break; fi
        sleep 0.1
    done
    url=$(sed -n 's/^pages on //p' "$work/listening")
    [ -n "$url" ] || die "no pages: $(cat "$work/server.log")"
    # look NAME PATH: what the browser has made of the page
    look() {
        timeout 100 "$chromium" --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" "${@:2}" 2>"$work/browser.log" ||
            { tail -n 5 "$work/browser.log" >&2; die "the browser: $1"; }
    }
    expect "the overview" "$(look overview --dump-dom "$url" | tr -d '\n')" '<h1>Servers and channels</h1>.*<h2>Servers</h2>.*/server/[0-9]+.*<h2>Channels</h2>.*/channel/[0-9]+'
    url=$url$(look link --dump-dom "$url" | sed -n 's|.*href="/\(channel/[0-9]*\)".*|\1|p' | head -n 1)
    expect "a channel" "$(look channel --dump-dom "$url" | tr -d '\n')" '<h1>Channel [0-9]+</h1>.*<td>READY</td>.*calls started.*/subchannel/'
    rm -f "$shot"
    look picture --window-size=1000,900 --screenshot="$shot" "$url"
    [ -s "$shot" ] || die "the browser made no picture"
    echo "passed the page of channelz in a browser; a picture of it is target/${shot##*/}"
    stop
}

build() { cargo build --quiet --example peer_server --example peer_client; }

run_grpcio() {
    build
    echo "grpcio calls ours"
    timeout 180 "$python" -B tests/peers/peers.py client -- "$programs/peer_server" 2>"$work/log" ||
        { tail -n 60 "$work/log" >&2; die "grpcio as client"; }
    echo "ours calls grpcio"
    timeout 180 "$programs/peer_client" "$python" -B tests/peers/peers.py server 2>"$work/log" ||
        { tail -n 60 "$work/log" >&2; die "grpcio as server"; }
}

# expect WHAT GOT PATTERN
expect() { [[ $2 =~ $3 ]] || die "$1: got '$2', wanted '$3'"; }

# status METHOD CURL-OPTION...: HTTP status, where grpc-status stood (head, or trailers), and grpc-status.
# An answer that comes before the end of the request is followed by RST_STREAM(NO_ERROR), here as with grpc-go and
# grpcio. Where both come with one read, curl 7.88 loses the answer (exit status 92); where the answer has come whole before its
# body went out, it sends that and waits for ever (28). It is asked again.
status() {
    local method=$1 code=92
    shift
    for _ in $(seq 20); do
        code=0
        curl -sS --http2-prior-knowledge --max-time 3 -H "content-type: ${type:-application/grpc}" \
            -H 'te: trailers' --data-binary "@$work/${body:-empty}" -D "$work/headers" -o "$work/body" "$@" \
            "http://$address/peers.Peer/$method" 2>"$work/curl.log" || code=$?
        [ "$code" = 92 ] || [ "$code" = 28 ] || break
    done
    [ "$code" = 0 ] || { cat "$work/curl.log" >&2; return "$code"; }
    tr -d '\r' <"$work/headers" | awk '
        NR == 1 { http = $2; place = "head" }
        NR > 1 && /^$/ { place = "trailers" }
        /^grpc-status: / { found = place " " $2 }
        END { print http, found }'
}

run_tools() {
    local address
    build
    # Its input is a pipe that nobody writes to; it ends when we do.
    mkfifo "$work/input"
    "$programs/peer_server" <"$work/input" >"$work/listening" 2>"$work/server.log" &
    server=$!
    exec 9>"$work/input"
    for _ in $(seq 100); do
        if [ -s "$work/listening" ]; then break; fi
        sleep 0.1
    done
    address=$(sed 's/^listening on //' "$work/listening")
    [ -n "$address" ] || die "the server does not listen: $(cat "$work/server.log")"
    printf '\0\0\0\0\0' >"$work/empty"
    printf '\0\0\0\0\0048000' >"$work/wait"

    "$tools" curl "$address" /peers.Peer/Echo --hex 00ff10
    "$tools" curl "$address" /peers.Peer/Echo --hex ''
    "$tools" nghttp "$address" /peers.Peer/Echo --hex 00ff10
    expect "a response" "$(status Echo)" '^200 trailers 0$'
    expect "an error at once" "$(status Fail -H 'x-code: 5')" '^200 head 5$'
    expect "an error after a message" "$(status FailAfter -H 'x-code: 5' -H 'x-count: 1')" '^200 trailers 5$'
    expect "an unknown method" "$(status Nothing)" '^200 head 12$'
    expect "no gRPC" "$(type=text/plain status Echo)" '^415'
    # curl has no clock of its own: the deadline is the server's alone.
    expect "a deadline" "$(body=wait status Wait -H 'grpc-timeout: 200m')" '^200 head 4$'
    expect "a deadline of a stream" "$(status Hold -H 'grpc-timeout: 200m')" '^200 trailers 4$'
    "$tools" h2load "$address" /peers.Peer/Echo 5000 4 50 --hex 00ff10
    "$tools" h2load "$address" /peers.Peer/Echo 2000 1 100
    "$tools" h2load "$address" /peers.Peer/Chat 2000 4 20 --hex 00ff10

    exec 9>&-
    wait "$server" || die "the server ended with status $?: $(cat "$work/server.log")"
    server=
}

case ${1:-all} in
    install) install ;;
    grpcio) install && run_grpcio ;;
    companions) install_companions && run_companions ;;
    install-companions) install_companions ;;
    buf) install_buf && run_buf ;;
    install-buf) install_buf ;;
    page) run_page ;;
    install-proxies) install_proxies ;;
    proxies) run_proxies ;;
    tools) run_tools ;;
    all)
        if install >"$work/install.log" 2>&1; then
            run_grpcio
        else
            tail -n 3 "$work/install.log"
            echo "skipped: grpcio (did not install)"
        fi
        if install_companions >"$work/install.log" 2>&1; then
            run_companions
        else
            tail -n 3 "$work/install.log"
            echo "skipped: grpcio's companions (did not install)"
        fi
        run_page
        if install_buf >"$work/install.log" 2>&1; then
            run_buf
        else
            tail -n 3 "$work/install.log"
            echo "skipped: buf (did not install)"
        fi
        if install_proxies >"$work/install.log" 2>&1; then
            run_proxies
        else
            tail -n 3 "$work/install.log"
            echo "skipped: nginx and haproxy (did not install)"
        fi
        if [ -x "$tools" ] && "$tools" install >"$work/install.log" 2>&1; then
            run_tools
        else
            echo "skipped: curl and h2load (no ../shared/tools, or they did not install)"
        fi
        ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
