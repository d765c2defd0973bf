#!/usr/bin/env bash
# Messages of Python's protobuf through generated code: see agree.py. Installs protobuf and grpcio-tools into target/.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
python=$target/compare/bin/python
if [ ! -x "$python" ]; then
    python3 -m venv "$target/compare"
    "$python" -m pip install --quiet grpcio-tools==1.85.1
fi
cargo build --quiet --manifest-path tests/protos/Cargo.toml --target-dir "$target/crates" --bin agree
exec "$python" tests/protos/agree.py "$target/crates/debug/agree" tests/protos/proto
