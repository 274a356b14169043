#!/usr/bin/env bash
# Builds what tests/gpu/run.sh runs and puts it into a folder, so that it can be taken to a machine with a
# GPU: build.sh FOLDER. With deploy/offline-cuda where LLVM cannot be downloaded: TWINSPAN_OFFLINE=1.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$1
mkdir -p "$folder"
cargo_cuda() {
    if [[ -n "${TWINSPAN_OFFLINE:-}" ]]; then
        deploy/offline-cuda/build.sh "$@"
    else
        local command=$1
        shift
        cargo "$command" --release --features cuda "$@"
    fi
}
cargo_cuda build --workspace --bin twinspan
cp "${CARGO_TARGET_DIR:-target}/release/twinspan" "$folder/twinspan"
list=$(mktemp)
cargo_cuda test --workspace --no-run --message-format json \
    --lib --test parity --test collective --bench step > "$list"
# The name that cargo gave each executable, and the name that run.sh calls it by.
python3 - "$list" "$folder" <<'PYTHON'
import json
import shutil
import sys

wanted = {"twinspan_model": "model-tests", "parity": "parity", "collective": "collectives", "step": "step"}
for line in open(sys.argv[1], encoding="utf-8"):
    message = json.loads(line) if line.startswith("{") else {}
    name = message.get("target", {}).get("name")
    if message.get("executable") and name in wanted:
        shutil.copy(message["executable"], f"{sys.argv[2]}/{wanted.pop(name)}")
sys.exit(f"not built: {', '.join(wanted)}" if wanted else 0)
PYTHON
# Names of lines make nine tenths of their size.
strip "$folder"/*
ls -la "$folder"
