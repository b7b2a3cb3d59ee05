"""Truly sparse training on the CPU: an optional compiled engine for phases with a fixed mask."""

from __future__ import annotations

from nets.sparse.engine import SparseEngine, available, crossing, threshold, trains

__all__ = ["SparseEngine", "available", "crossing", "threshold", "trains"]
