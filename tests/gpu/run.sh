#!/usr/bin/env bash
# Everything that must be seen on a machine with an NVIDIA GPU, in one go; about 15 minutes. Figures go to
# standard output and to tests/gpu/results (or TWINSPAN_GPU_RESULTS). See README.md here.
#
#   tests/gpu/run.sh                  # builds with cargo, then runs
#   TWINSPAN_GPU_BIN=folder tests/gpu/run.sh   # with what tests/gpu/build.sh left in a folder
set -uo pipefail
cd "$(dirname "$0")/../.."
results=$(realpath -m "${TWINSPAN_GPU_RESULTS:-tests/gpu/results}")
# Old runs would be continued, and old figures compared.
rm -rf "$results"
mkdir -p "$results"
if [[ -z "${TWINSPAN_GPU_BIN:-}" ]]; then
    tests/gpu/build.sh target/gpu || exit 1
    TWINSPAN_GPU_BIN=target/gpu
fi
bin=$(realpath "$TWINSPAN_GPU_BIN")
python=${TWINSPAN_BENCH_PYTHON:-python3}
failed=()

# Runs a step under a name, keeps its output, and goes on when it fails.
step() {
    local name=$1
    shift
    echo "== $name"
    if "$@" > "$results/$name.log" 2>&1; then
        tail -n 3 "$results/$name.log"
    else
        echo "FAILED ($?): $name"
        tail -n 15 "$results/$name.log"
        failed+=("$name")
    fi
}

# Trains the quickstart for so many steps: run NAME STEPS DEVICE WORKERS [line of the run file...]
train() {
    local name=$1 steps=$2 device=$3 workers=$4
    shift 4
    local file="$results/$name.yaml"
    sed -e "s|^run: .*|run: $name|" -e "s|^output: .*|output: $results/runs|" \
        -e "s|^model: .*|model: $PWD/configs/models/quickstart.json|" \
        -e "s|\.\./tests/data|$PWD/tests/data|g" -e "s|^  steps: .*|  steps: $steps|" \
        -e "s|^  workers: .*|  workers: $workers|" configs/quickstart.yaml > "$file"
    for edit in "$@"; do sed -i "$edit" "$file"; done
    "$bin/twinspan" train "$file" --device "$device" --no-eval
}

losses() {
    local bound=$1 steps=$2 means=$3 first=$4
    shift 4
    local files=("$results/runs/$first/metrics.jsonl")
    for run in "$@"; do files+=("$results/runs/$run/metrics.jsonl"); done
    python3 tests/gpu/losses.py --within "$bound" --steps "$steps" --means "$means" "${files[@]}"
}

# A test that finds no GPU or no NCCL is skipped, which is no success here.
nothing_skipped() {
    "$@" 2>&1 | tee "$results/.last"
    local code=${PIPESTATUS[0]}
    ! grep -q '^skipped' "$results/.last" && return "$code"
}

# As `train`, and the ranks must have exchanged over NCCL.
train_over_nccl() {
    train "$@" 2>&1 | tee "$results/.last"
    local code=${PIPESTATUS[0]}
    grep -q 'collectives over NCCL' "$results/.last" && return "$code"
}

# Kills the coordinator and a worker in the middle, among others: the run must end in order.
kill_one() {
    sed -e 's|^run: .*|run: killed|' -e 's|^  steps: .*|  steps: 400|' "$results/two-ranks.yaml" \
        > "$results/killed.yaml"
    "$bin/twinspan" train "$results/killed.yaml" --device cuda:0 --no-eval --chaos 7 2>&1 \
        | tee "$results/.last"
    local code=${PIPESTATUS[0]}
    grep -q 'chaos: killed worker' "$results/.last" && return "$code"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$results/gpu.txt"
export NCCL_NET=Socket NCCL_SOCKET_IFNAME=lo NCCL_P2P_DISABLE=1 NCCL_SHM_DISABLE=1

step operations "$bin/model-tests" ops
step parity "$bin/parity" --test-threads 1
step collectives nothing_skipped "$bin/collectives" gpu --nocapture --test-threads 1

fp32='s|^  global_batch: .*|&\n  tf32: false|'
step cpu train cpu 20 cpu 2
step cuda train cuda 20 cuda:0 1 "$fp32"
step cuda-equals-cpu losses 1e-3 20 1 cpu cuda
step two-ranks train_over_nccl two-ranks 20 cuda:0 2 "$fp32"
step four-ranks train_over_nccl four-ranks 20 cuda:0 4 "$fp32"
step ranks-equal losses 1e-3 20 1 cuda two-ranks four-ranks
step killed kill_one

step curve-fp32 train curve-fp32 200 cuda:0 1
step curve-bf16 train curve-bf16 200 cuda:0 1 's|^  global_batch: .*|&\n  precision: bf16|'
step bf16-within-1-percent losses 1e-2 200 20 curve-fp32 curve-bf16

for model in ViT-B-32 ViT-B-16; do
    # In alternation, twice, so that a card that warms up does it for both.
    for round in 1 2; do
        step "$model-ours-$round" "$bin/step" --model "configs/models/$model.json" --device cuda:0 \
            --precision bf16 --batch 1024 --steps 20 --warmup 5
        step "$model-open_clip-$round" "$python" tests/gpu/open_clip_step.py --model "$model" \
            --precision amp_bf16 --batch 1024 --steps 20 --warmup 5
    done
done
step recompute "$bin/step" --model configs/models/ViT-B-16.json --device cuda:0 --precision bf16 \
    --batch 1024 --steps 5 --warmup 3 --recompute

# Decoding left in: real shards, the model's size of pictures.
step decoding train decoding 60 cuda:0 1 \
    "s|^model: .*|model: $PWD/configs/models/ViT-B-32.json|" \
    's|^  global_batch: .*|  global_batch: 1024\n  precision: bf16|' 's|^  lanes: .*|  lanes: 16|'

# What crosses the host's bus: a trace of two ranks' copies beside NCCL's kernels.
if command -v nsys > /dev/null; then
    step trace nsys profile --trace=cuda --force-overwrite true --output "$results/trace" \
        "$bin/collectives" gpu --test-threads 1
    step copies nsys stats --report cuda_gpu_mem_size_sum,cuda_gpu_kern_sum "$results/trace.nsys-rep"
fi

echo
grep -h samples_per_second "$results"/ViT-*.log "$results/recompute.log" 2> /dev/null
if [[ ${#failed[@]} -gt 0 ]]; then
    echo "FAILED: ${failed[*]}"
    exit 1
fi
