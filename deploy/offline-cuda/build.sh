#!/usr/bin/env bash
# Builds twinspan for CUDA with a stand-in for the crate that downloads LLVM; see README.md here.
# Arguments, where there are any, take the place of `build`: build.sh clippy --workspace.
set -euo pipefail
cd "$(dirname "$0")/../.."
lock=$(mktemp)
cp Cargo.lock "$lock"
trap 'cp "$lock" Cargo.lock; rm "$lock"' EXIT
command=${1:-build}
shift || true
cargo "$command" --release --features "${TWINSPAN_FEATURES:-cuda}" \
    --config 'patch.crates-io.cubecl-llvm.path="deploy/offline-cuda/cubecl-llvm"' "$@"
