"""What one solve frees, the next one finds.

A solve makes and drops arrays of all sizes. glibc hands what is free at the end of its heap back to the system as soon
as that is more than a threshold, and the next solve gets it anew, a fault for every 4 kB. The threshold is twice the
largest block (of up to 32 MB) that the process has ever freed: one that has loaded its data and computed nothing yet
has freed none, and then a problem of 200 x 20 000 met 570 faults a solve, a fifth of its time. So one block of that
size is freed once, which costs no memory, for nothing is written to it. Under other C libraries nothing changes, nor
where the environment or `mallopt` has set the thresholds.

Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, "dynamic".

>>> keep()
"""

from __future__ import annotations

import functools

import numpy as np

__all__ = ["keep"]

LARGEST = (1 << 25) - (1 << 16)  # bytes: glibc takes no heed of blocks above 32 MiB


@functools.cache
def keep() -> None:
    """From now on up to 64 MB of free memory stay with this process."""
    np.empty(LARGEST, dtype=np.uint8)
