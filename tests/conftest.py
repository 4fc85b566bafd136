"""For all tests."""

from __future__ import annotations

import signal

# Tests press Ctrl-C in runs that they start. A shell's background job ignores SIGINT, and all that it starts inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
