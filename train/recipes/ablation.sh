#!/usr/bin/env bash
# Trains every variant of the method for as many steps, measures each alike, and prints the table:
#   bash train/recipes/ablation.sh [RUNS_FOLDER] [--set a.b=c ...]
# What is finished is skipped, so that the same command goes on after a stop. Environment variables:
#   STEPS                  of each training (80)
#   FACES, EDIT_FACES      held-out faces, and generated ones whose edits are measured (64 and 8)
#   HELDOUT, METRICS       where they and the networks are
#   CONTRASTIVE, CONFIG        contrastive.safetensors, and the settings that the variants change
#   PYTHON                 .venv/bin/python
# Relative paths are relative to the repository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

runs=runs/ablation
if (($#)) && [[ $1 != --* ]]; then
    runs=$1
    shift
fi
changes=("$@")
python=${PYTHON:-.venv/bin/python}
config=${CONFIG:-train/configs/ablation.yaml}
contrastive=${CONTRASTIVE:-weights/faces128/contrastive.safetensors}
metrics=${METRICS:-../shared/models/metrics}
phase=phases.0
paper="{l2: 1.0, perceptual: 0.2, identity: 0.1}" # CLCAE's weights of what compares pictures

variant() { # NAME SETTINGS...
    local name=$1 folder=$runs/$1 settings=()
    shift
    for setting in "$@"; do
        settings+=(--set "$setting")
    done
    if [[ -e $folder/evaluation.json ]]; then
        echo "$name: finished before, skipped"
        return
    fi
    echo "$name: starts"
    "$python" -m train refiners --config "$config" --resume --set "run.folder=$folder" --set "contrastive=$contrastive" \
        --set "$phase.max_steps=${STEPS:-80}" ${settings[@]+"${settings[@]}"} ${changes[@]+"${changes[@]}"}
    "$python" -m train evaluate --data "${HELDOUT:-../shared/data/faces256/heldout.tar}" --limit "${FACES:-64}" \
        --edit-faces "${EDIT_FACES:-8}" --retention-faces 0 --metrics-dir "$metrics" \
        --bundle "${BUNDLE:-weights/faces128}" --encoder "$folder/encoder.safetensors" \
        --refiners "$folder/refiners.safetensors" --no-retrieval --out "$folder/evaluation.partial" >/dev/null
    mv "$folder/evaluation.partial" "$folder/evaluation.json"
}

variant base
variant no-contrastive "$phase.loss.align=0"
variant align-against-reconstruction align_against=reconstruction
variant paper-losses "identity_weights=$metrics/mobilefacenet_id.onnx" "$phase.loss.w=$paper" "$phase.loss.ws=$paper" \
    "$phase.loss.f=$paper" "$phase.loss.edit={l2: 1.0, perceptual: 0.2}" "$phase.loss.kept_detail=0" \
    "$phase.loss.offset=0.01"
variant no-attention refiners.attention=none
variant reference-attention refiners.attention=reference
variant f16 refiners.f_resolution=16
variant no-edited-pairs "$phase.pair_batch=0" "$phase.loss.kept_detail=0"
variant no-detail "$phase.loss.edit.detail=0" "$phase.loss.kept_detail=0"
variant fixed-offset refiners.feature=offset
variant replaced-activation refiners.feature=replacement
variant second-look refiners.second_look=true

"$python" -m train.recipes.ablation "$runs"
