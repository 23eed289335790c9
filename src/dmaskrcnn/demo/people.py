"""Pedestrians."""

from __future__ import annotations

import numpy as np

from dmaskrcnn.demo.palette import CLOTHES, HAIRS, SHOE, SKINS, TROUSERS, darker, pick
from dmaskrcnn.demo.parts import CIRCLE, Model, flat, limb
from dmaskrcnn.demo.raster import Face


def person(rng: np.random.Generator) -> Model:
    """A pedestrian, walking or standing, seen from any side."""
    height = rng.uniform(1.58, 1.88)
    k = height / 1.75
    shirt, trousers, skin, hair = (pick(rng, c) for c in (CLOTHES, TROUSERS, SKINS, HAIRS))
    side_view = rng.random() < 0.5
    facing = 1.0 if rng.random() < 0.5 else -1.0
    stride = rng.uniform(0.12, 0.34) if side_view else rng.uniform(0.02, 0.08)
    shoulder = 0.15 if side_view else 0.23
    hip = 0.1 if side_view else 0.14
    swing = rng.uniform(0.1, 0.28) * (1 if side_view else 0.35)

    def at(x: float, y: float) -> tuple[float, float]:
        return facing * x * k, y * k

    def leg(foot: float, root: float, shade: float) -> list[Face]:
        knee = at((foot + root) / 2 + 0.04 * side_view, 0.48)
        toe = 0.12 if side_view else 0.02
        return [
            limb(at(foot - 0.03, 0.05), at(foot + toe, 0.045), (0.1 * k, 0.09 * k), SHOE),
            limb(at(root, 0.9), knee, (0.19 * k, 0.14 * k), darker(trousers, shade)),
            limb(knee, at(foot, 0.1), (0.14 * k, 0.11 * k), darker(trousers, shade)),
        ]

    def arm(root: float, hand: float, shade: float) -> list[Face]:
        elbow = at((root + hand) / 2 - 0.03 * side_view, 1.1)
        return [
            limb(at(root, 1.4), elbow, (0.12 * k, 0.1 * k), darker(shirt, shade)),
            limb(elbow, at(hand, 0.86), (0.09 * k, 0.075 * k), darker(shirt, shade)),
            limb(at(hand, 0.84), at(hand, 0.8), (0.085 * k, 0.07 * k), darker(skin, shade)),
        ]

    legs_x = (-stride, stride) if side_view else (-0.11 - stride, 0.11 + stride)
    roots = (0.0, 0.0) if side_view else (-0.085, 0.085)
    neck = shoulder * 0.55
    flank = [at(hip, 0.86), at(shoulder, 1.38), at(neck, 1.48)]
    torso = np.array([at(-hip, 0.86), *flank, at(-neck, 1.48), at(-shoulder, 1.38)])
    half = np.array([at(hip * 0.25, 0.86), *flank, at(shoulder * 0.2, 1.48)])
    round_ = np.stack([np.cos(CIRCLE), np.sin(CIRCLE)], axis=1)
    head = np.array(at(0.03 * side_view, 1.625))
    face = round_ * (0.1 * k, 0.13 * k) + head
    cap = round_ * (0.108 * k, 0.1 * k) + head + (-0.02 * k * facing * side_view, 0.045 * k)
    seen_from_behind = not side_view and rng.random() < 0.5
    faces = leg(legs_x[0], roots[0], 0.72)
    faces += arm(0.0, -swing, 0.7) if side_view else arm(-0.25, -0.29 - swing * 0.3, 0.85)
    faces += leg(legs_x[1], roots[1], 1.0)
    faces += [limb(at(0, 1.46), at(0, 1.54), (0.1 * k, 0.1 * k), darker(skin, 0.85))]
    faces += [flat(torso, shirt), flat(half, darker(shirt, 0.84))]
    faces += arm(0.0, swing, 0.92) if side_view else arm(0.25, 0.29 + swing * 0.3, 0.8)
    if seen_from_behind:
        faces += [flat(face, darker(hair, 0.9)), flat(cap, hair)]
    else:
        fringe = cap[1:6] + np.array([0, 0.012 * k])
        faces += [flat(cap, hair), flat(face - (0, 0.02 * k), skin), flat(fringe, hair)]
        if side_view:
            faces += [limb(at(-0.06, 1.66), at(-0.06, 1.6), (0.09 * k, 0.07 * k), hair)]
    if rng.random() < 0.35 and seen_from_behind:
        bag = np.array([at(-0.16, 0.98), at(0.16, 0.98), at(0.15, 1.4), at(-0.15, 1.4)])
        faces += [flat(bag, pick(rng, CLOTHES))]
    width = 2 * (max(stride, swing) + 0.15) if side_view else 0.72
    return Model([faces], (width * k, height, 0.4))
