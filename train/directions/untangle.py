"""Untangle edits: mixtures of them that change, as measured, what each is for and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from editor.measure.probe import END
from inversion.directions.bank import longest
from inversion.directions.linear import EditDirection
from train.directions.fit import Array

RIDGE = 0.1  # what a part of another edit has to be worth, in squared deviations


def mixing_weights(effects: Array, wanted: Array, weight: Array, allowed: Array) -> Array:
    """How much of every edit each edit takes.

    Row e of A minimises `sum_k weight_ek ((A effects)_ek - wanted_ek)^2 + RIDGE |A_e - 1_e|^2`: what an edit
    was measured to drag along is taken back by those that are about it, as far as that pays.

    Args:
        effects: What a deviation of each edit changes of each measure [E, K].
        wanted: What it shall change [E, K].
        weight: How much that counts [E, K], at least 0.
        allowed: Whether an edit may take of each edit [E, E]; of itself it may.

    Returns:
        A [E, E].
    """
    found: Array = np.zeros((len(effects), len(effects)))
    for number, others in enumerate(allowed):
        there, itself = effects[others], np.eye(len(effects))[number][others]
        weighed = there * weight[number]  # [E', K]
        left = weighed @ there.T + RIDGE * np.eye(len(there))
        found[number, others] = np.linalg.solve(left, weighed @ wanted[number] + RIDGE * itself)
    return found


def bending_weights(effects: Array, bent: Array, weight: Array, allowed: Array) -> Array:
    """How much of every edit's slope is added to each edit's bend.

    Row e of B minimises `sum_k weight_ek (bent + B effects)_ek^2 + RIDGE |B_e|^2`: what both ends of an edit
    change alike grows with the square of the strength, and so does what a bend adds.

    Args:
        effects: What a deviation of each edit changes of each measure [E, K].
        bent: What its square changes besides [E, K].
        weight: How much that counts [E, K].
        allowed: As for `mixing_weights`.

    Returns:
        B [E, E].
    """
    found: Array = np.zeros((len(effects), len(effects)))
    for number, others in enumerate(allowed):
        there = effects[others]
        weighed = there * weight[number]
        left = weighed @ there.T + RIDGE * np.eye(len(there))
        found[number, others] = np.linalg.solve(left, -weighed @ bent[number])
    return found


def mixed(edits: Mapping[str, EditDirection], slopes: Array, bends: Array) -> dict[str, EditDirection]:
    """Edits put together of each other's slopes.

    Args:
        edits: The edits [E].
        slopes: How much of every edit's slope each one's slope takes, in deviations [E, E].
        bends: How much of it is added to its bend [E, E].
    """
    parts = torch.stack([edit.unit_size * edit.sigma * edit.direction for edit in edits.values()])
    out = {}
    for number, (name, edit) in enumerate(edits.items()):
        a, b = (torch.from_numpy(each[number]).float() for each in (slopes, bends))
        slope = torch.einsum("e,elw->lw", a, parts) / edit.unit_size
        own = torch.zeros_like(slope) if edit.bend is None else float(a[number]) ** 2 * edit.bend
        bend = own + torch.einsum("e,elw->lw", b, parts) / edit.unit_size**2
        length = longest(slope)
        direction = (slope / length).half().float()
        out[name] = replace(edit, direction=direction, sigma=length, bend=bend.half().float())
    return out


def worst(effects: Array, bent: Array, own: Sequence[int], weight: Array) -> Array:
    """Of every edit the largest change of what it is not about, and may not go with it, at either end [E].

    As a share of the change of what it is about: an edit that does little drags little along.

    Args:
        effects: What a deviation of each edit changes of each measure [E, K].
        bent: What its square changes besides [E, K].
        own: Column of each edit's own measure [E].
        weight: What counts [E, K], above 0.
    """
    rows = np.arange(len(effects))
    done = np.maximum(effects[rows, own], 1e-6)
    counted = (np.abs(effects) + END * np.abs(bent)) * (weight > 0)
    counted[rows, own] = 0
    return np.asarray(counted.max(1) / done)
