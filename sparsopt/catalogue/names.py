"""What all families say the same way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sparsopt.method import Method

Entry = Callable[[int, Any], Method]  # (k, problem) -> the method, built for both

SSZ = "Shalev-Shwartz, Srebro, Zhang (2010), Trading accuracy for sparsity in optimization problems"
