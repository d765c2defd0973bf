#!/usr/bin/env bash
# The generator's descriptors beside protoc's: see compare.py. Installs grpcio-tools, which has a protoc, into target/.
#
#     tests/protos/compare.sh FOLDER [FOLDER..]
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
python=$target/compare/bin/python
if [ ! -x "$python" ]; then
    python3 -m venv "$target/compare"
    "$python" -m pip install --quiet grpcio-tools==1.85.1
fi
[ -n "${GEN:-}" ] || cargo build --quiet --release --no-default-features --features codegen --bin grpc-threads-gen
exec "$python" tests/protos/compare.py "${GEN:-$target/release/grpc-threads-gen}" "$@"
