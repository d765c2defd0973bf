#!/usr/bin/env bash
# The library under a model checker (src/model): random schedules of a channel, a server and their callers.
#
#   tests/model.sh [SECONDS]                      looks for faults for so long (default 5), from another execution on each time
#   GRPC_THREADS_MODEL_SEED=N tests/model.sh      only execution N, as it was; with SECONDS, N and those that follow
#   GRPC_THREADS_MODEL_TRACE=1                    tells what goes on
#
# A target of its own: the flag makes another build of everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export RUSTFLAGS="--cfg shuttle ${RUSTFLAGS:-}" CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=line-tables-only
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/model"
if [ $# -gt 0 ]; then
    export GRPC_THREADS_MODEL_SECONDS=$1
    : "${GRPC_THREADS_MODEL_SEED:=$(date +%s)000}"
    export GRPC_THREADS_MODEL_SEED
fi
nice -n 5 cargo test --quiet --features tls --lib model:: -- --nocapture
