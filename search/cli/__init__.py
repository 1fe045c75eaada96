"""The commands, each in the module of its name."""

import atexit
import gc

# As a command starts, it makes some hundred thousand objects, nearly all of which stay. To look for garbage among them after every
# 700 that are new took a tenth of its time.
gc.set_threshold(20_000, 10, 10)

# Nor is there anything to look for as it ends: with the client of a Qdrant server that took a fifth of the time of a command.
atexit.register(gc.freeze)
