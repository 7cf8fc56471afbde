"""Kernels in Numba's CUDA simulator, which must be asked for before Numba is imported: a process of its own.

NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/simulator          (part of `make test`)
"""

from numba.core import config

# Numba defines its settings while it is imported.
collect_ignore_glob = [] if getattr(config, "ENABLE_CUDASIM", 0) else ["test_*.py"]
