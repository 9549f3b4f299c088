#!/usr/bin/env bash
# Trains everything of weights/faces128 but its generator, finds its edit directions, and measures the result:
#   bash train/recipes/faces128.sh [RUNS_FOLDER] [--set a.b=c ...]
# It picks the schedule of the device that it finds, and says first how long that takes. Ctrl-C or SIGTERM saves and
# stops; the same command goes on from there and skips what is finished. To repeat a stage, delete its folder and
# those of the stages after it.
#
# RUNS_FOLDER is runs/faces128 where none is named; every --set goes to the four trainings. Environment variables:
#   DATA, HELDOUT    faces to train on, and faces to measure with: shards or folders
#   METRICS          folder of the identity, age and gender networks; what needs a missing one is left out
#   BUNDLE, CONFIGS  the model bundle, and the folder with a settings file for each stage
#   SCALE            factor on every length: 0.01 for a trial
#   AHEAD            yes, no: whether to compile the later trainings while the first runs; yes on a GPU
#   PYTHON           .venv/bin/python
# Relative paths are relative to the repository.
set -euo pipefail
export LC_ALL=C # numbers with a point
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

runs=runs/faces128
if (($#)) && [[ $1 != --* ]]; then
    runs=$1
    shift
fi
changes=("$@")
shards='../shared/data/faces256/train-{0000..0004}.tar'
data=${DATA:-$shards}
heldout=${HELDOUT:-../shared/data/faces256/heldout.tar}
metrics=${METRICS:-../shared/models/metrics}
bundle=${BUNDLE:-weights/faces128}
configs=${CONFIGS:-train/configs}
python=${PYTHON:-.venv/bin/python}

scaled() { awk -v n="$1" -v scale="${SCALE:-1}" 'BEGIN { printf "%.6f", n * scale }'; }
count() { awk -v n="$1" -v scale="${SCALE:-1}" 'BEGIN { n = int(n * scale); print(n < 1 ? 1 : n) }'; }

if ! command -v "$python" >/dev/null; then
    echo "error: $python: no such program; run \`make setup\`, or name a Python with PYTHON" >&2
    exit 2
fi
machine=$("$python" -m train.recipes "$data" "$heldout")
read -r device compile <<<"$machine"

# Minutes. A GPU draws and measures what takes a CPU longest, and has room for larger batches.
if [[ $device == cuda ]]; then
    starting=3 drawing=1 contrasting=2 latents=1 pixels=6 refinement=3 looking=2 features=2 finishing=1
    searching=2 measuring=2
else
    starting=5 drawing=30 contrasting=8 latents=20 pixels=70 refinement=30 looking=25 features=16 finishing=9
    searching=75 measuring=30
fi
every=(--set "bundle=$bundle" --set "pairs.cache=$runs/pairs" --set "pairs.pool=$((16 * $(count 1000)))"
    --set "hardware.compile=$compile")
contrastive=(--set "phases.0.max_minutes=$(scaled $contrasting)")
inversion=(--set "contrastive=$runs/contrastive/contrastive.safetensors"
    --set "data.images=$data" --set "phases.0.max_minutes=$(scaled $latents)"
    --set "phases.1.max_minutes=$(scaled $pixels)")
refiners=(--set "data.images=$data" --set "phases.0.max_minutes=$(scaled $refinement)"
    --set "encoder=$runs/inversion/encoder.safetensors")
second_look=(--set "data.images=$data" --set "phases.0.max_minutes=$(scaled $looking)"
    --set "phases.1.max_minutes=$(scaled $features)" --set "phases.2.max_minutes=$(scaled $finishing)"
    --set "encoder=$runs/inversion/encoder.safetensors"
    --set "start_from=$runs/refiners/refiners.safetensors" --set "contrastive=$runs/contrastive/contrastive.safetensors"
    --set pairs.refresh=0.05)
if [[ $device == cuda ]]; then
    every+=(--set run.validate_every=1000 --set run.checkpoint_every=1000)
    contrastive+=(--set phases.0.pair_batch=512)
    inversion+=(--set data.workers=4 --set phases.0.pair_batch=128 --set phases.1.real_batch=32
        --set phases.1.pair_batch=16)
    refiners+=(--set data.workers=4 --set phases.0.real_batch=16 --set phases.0.pair_batch=16)
    second_look+=(--set data.workers=4 --set phases.0.real_batch=48 --set phases.0.pair_batch=12
        --set phases.1.real_batch=16 --set phases.1.pair_batch=16
        --set phases.2.real_batch=16 --set phases.2.pair_batch=16)
fi
identity=$metrics/mobilefacenet_id.onnx
if [[ -f $identity ]]; then
    inversion+=(--set "identity_weights=$identity")
    refiners+=(--set "identity_weights=$identity")
    second_look+=(--set "identity_weights=$identity")
    directions=(--set "identity_weights=$identity")
else
    inversion+=(--set identity_weights=null --set phases.1.loss.identity=0)
    refiners+=(--set identity_weights=null --set phases.0.loss.f.identity=0)
    second_look+=(--set identity_weights=null --set phases.1.loss.f.identity=0 --set phases.2.loss.f.identity=0)
    directions=(--set identity_weights=null)
    echo "$identity is not there: identity is neither learnt nor measured"
fi
searches=yes evaluation=()
if [[ ! -f $metrics/age-v1.onnx || ! -f $metrics/gender-v1.onnx ]]; then
    searches=
else
    evaluation+=(--directions "$runs/directions")
fi

total=0
plan() { # NAME MINUTES FILE: the file is there when it is done
    if [[ -e $3 ]]; then
        printf '  %-22s finished\n' "$1"
    else
        printf '  %-22s %6.1f min\n' "$1" "$2"
        total=$(awk -v a="$total" -v b="$2" 'BEGIN { print a + b }')
    fi
}

child='' ahead='' stopped=''
stop() { # STATUS
    stopped=$1
    if [[ $child ]]; then
        kill -TERM "$child" 2>/dev/null || true
    fi
}
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'if [[ $ahead ]]; then kill -TERM "$ahead" 2>/dev/null || true; fi' EXIT

# Bash handles a signal only between commands, or while it waits: hence the background.
run() { # COMMAND...: see await
    "$@" &
    await $!
}

await() { # PID: its status; passes signals on, and ends the recipe where one came
    local status=0
    child=$1
    if [[ $stopped ]]; then # between the last command and this one
        stop "$stopped"
    fi
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do # a signal ended the waiting, not yet the command
        status=0
        wait "$child" || status=$?
    done
    child=''
    if [[ $stopped ]]; then
        echo "stopped; the same command goes on from here"
        exit "$stopped"
    fi
    return "$status"
}

stage() { # NAME COMMAND ARGUMENTS...: a training
    local name=$1 command=$2
    shift 2
    if [[ -e $runs/$name/finished ]]; then
        echo "$name: finished before, skipped"
        return
    fi
    echo "$name: starts"
    rm -f "$runs/evaluation.json"
    run "$python" -m train "$command" --config "$configs/$name.yaml" --resume --set "run.folder=$runs/$name" \
        "${every[@]}" "$@" ${changes[@]+"${changes[@]}"}
    touch "$runs/$name/finished"
}

# Compiling takes minutes, for which a GPU need not wait: one step of each later training, with untrained networks and
# beside the first training, fills the cache of torch.compile that they then find.
one_step() { # NAME COMMAND ARGUMENTS...
    local name=$1 command=$2
    shift 2
    run "$python" -m train "$command" --config "$configs/$name.yaml" "${every[@]}" "$@" ${changes[@]+"${changes[@]}"} \
        --set "run.folder=$runs/ahead/$name" --set pairs.cache=null --set pairs.pool=16 --set phases.0.max_steps=1
}

compile_ahead() {
    trap 'stop 143' TERM # a subshell has none of the traps above
    one_step contrastive contrastive "${contrastive[@]}" --set hardware.compile=false
    one_step inversion inversion "${inversion[@]}" --set "contrastive=$runs/ahead/contrastive/contrastive.safetensors" \
        --set phases.1.max_steps=1
    one_step refiners refiners "${refiners[@]}" --set "encoder=$runs/ahead/inversion/encoder.safetensors"
    one_step second_look refiners "${second_look[@]}" --set "encoder=$runs/ahead/inversion/encoder.safetensors" \
        --set "start_from=$runs/ahead/refiners/refiners.safetensors" \
        --set "contrastive=$runs/ahead/contrastive/contrastive.safetensors" --set phases.1.max_steps=1 \
        --set phases.2.max_steps=1
}

echo "The $device schedule (compiling: $compile), into $runs:"
plan 'start and compile' "$starting" "$runs/evaluation.json"
plan 'draw pairs' "$(scaled $drawing)" "$runs/contrastive/finished"
plan contrastive "$(scaled $contrasting)" "$runs/contrastive/finished"
plan inversion "$(scaled $((latents + pixels)))" "$runs/inversion/finished"
plan refiners "$(scaled $refinement)" "$runs/refiners/finished"
plan second_look "$(scaled $((looking + features + finishing)))" "$runs/second_look/finished"
if [[ $searches ]]; then
    plan directions "$(scaled $searching)" "$runs/directions/finished"
fi
plan evaluation "$(scaled $measuring)" "$runs/evaluation.json"
printf '  %-22s %6.1f min\n' total "$total"

default=no
if [[ $device == cuda && $compile == true ]]; then
    default=yes
fi
if [[ ${AHEAD:-$default} == yes && ! -e $runs/contrastive/finished ]]; then
    rm -rf "$runs/ahead"
    mkdir -p "$runs"
    compile_ahead >"$runs/ahead.log" 2>&1 &
    ahead=$!
fi

stage contrastive contrastive "${contrastive[@]}"
stage inversion inversion "${inversion[@]}"
if [[ $ahead ]]; then
    await "$ahead" || echo "compiling ahead has failed, which costs but time: see $runs/ahead.log"
    ahead=''
fi
stage refiners refiners "${refiners[@]}"
stage second_look refiners "${second_look[@]}"

if [[ ! $searches ]]; then
    echo "directions: skipped, since $metrics has no age-v1.onnx and gender-v1.onnx"
elif [[ -e $runs/directions/finished ]]; then
    echo "directions: finished before, skipped"
else
    echo "directions: starts"
    rm -f "$runs/evaluation.json"
    run "$python" -m train directions --config "$configs/directions.yaml" --set "bundle=$bundle" \
        --set "pool=$runs/pairs" --set "count=$(count 8000)" --set "out=$runs/directions" --set "work=$runs/search" \
        "${directions[@]}"
    touch "$runs/directions/finished"
fi

if [[ -e $runs/evaluation.json ]]; then
    echo "evaluation: finished before, skipped"
else
    echo "evaluation: starts"
    run "$python" -m train evaluate --data "$heldout" --limit "$(count 10000)" --edit-faces "$(count 200)" \
        --bundle "$bundle" --metrics-dir "$metrics" --encoder "$runs/inversion/encoder.safetensors" \
        --contrastive "$runs/contrastive/contrastive.safetensors" --refiners "$runs/second_look/refiners.safetensors" \
        ${evaluation[@]+"${evaluation[@]}"} --out "$runs/evaluation.partial"
    mv "$runs/evaluation.partial" "$runs/evaluation.json"
fi
echo "finished after $((SECONDS / 60)) minutes: $runs"
