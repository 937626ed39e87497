"""Tape: a forward written down once as torch calls, of which any part can be done again.

Where only some weights change, only the calls that they can change are done again; all that was
computed before is taken from the dense network. Works for any forward written in Python whose way
does not depend on the values of tensors.
"""

from workbench.tape.record import UnrepeatableError
from workbench.tape.tape import Statistics, Tape, Values

__all__ = ["Statistics", "Tape", "UnrepeatableError", "Values"]
