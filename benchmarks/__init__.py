"""How fast the catalogue's mechanisms are, against whoever else publishes the same function."""

import os

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is loaded: the profiler reports every start and stop
