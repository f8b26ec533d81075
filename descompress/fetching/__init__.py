"""Published data sets: fetched from where they are published, checked, and unpacked.

`sources` is the table, `transfer` fetches one file, `verification` compares it with what is known
of it, `unpacking` reads the archive, and `collection` does all of it for a set of the table.
"""

from .collection import Got, Order, get, state
from .sources import SETS, find_set

__all__ = ["SETS", "Got", "Order", "find_set", "get", "state"]
