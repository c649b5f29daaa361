"""Calls ``rope.apply_rotary_emb`` on clones, because a right solution may work in place."""

from __future__ import annotations

from typing import Any

from autograder.worker.contract import StudentModules, unpack

MODULES = ("rope",)
AXES = {
    "query": ("batch", "position", "head", "channel"),
    "key": ("batch", "position", "head", "channel"),
}


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``query`` (B, T, H, D), ``key`` (B, T, K, D), ``max_seq_len`` and perhaps ``theta``: the rotated two."""
    apply_rotary_emb = submission.module("rope").apply_rotary_emb
    query, key = inputs["query"].clone(), inputs["key"].clone()
    theta = {"theta": inputs["theta"]} if "theta" in inputs else {}
    rotated = apply_rotary_emb(query, key, query.shape[-1], inputs["max_seq_len"], **theta)
    return unpack(rotated, ("query", "key"), "apply_rotary_emb")
