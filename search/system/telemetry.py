"""Nothing reports home unless the user asks for it: switches of libraries, set before any of them can be imported.

The package imports this first. ONNX Runtime makes a device id and queues its first event while it is imported; the hub's client
says in each download what runs here. Child processes inherit the switches.
"""

import os

_SWITCHES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
_YES = {"1", "true", "yes", "on"}  # as ONNX Runtime reads it

for _switch in _SWITCHES:
    if not os.environ.get(_switch):
        os.environ[_switch] = "1"


def telemetry_off() -> bool:
    """Whether ONNX Runtime's telemetry stays off: always, unless the environment says otherwise (ORT_DISABLE_TELEMETRY=0)."""
    return os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() in _YES
