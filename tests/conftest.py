"""Hypothesis profiles: `dev` while writing, `ci` by default, `nightly` for thousands. Choose with SPARSOPT_PROFILE."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = {"dev": 25, "ci": 100, "nightly": 5000}
PROFILE = os.environ.get("SPARSOPT_PROFILE", "ci")

for name, examples in EXAMPLES.items():
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        derandomize=name != "nightly",
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
settings.load_profile(PROFILE)


def scaled(examples: int, least: int = 5) -> int:
    """`examples` in the ci profile; in the others more or fewer in the same proportion, but at least so many."""
    return max(least, round(examples * EXAMPLES[PROFILE] / EXAMPLES["ci"]))
