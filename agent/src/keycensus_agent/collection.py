"""How often Python looks for objects that refer to each other in circles, in processes that make few.

Runs in the reader and its parser. Reference counts free what files leave behind; what the default of a
look at each 700 new objects finds is nothing, for a thirtieth of a scan's processor time.
"""

from __future__ import annotations

import gc

# New objects between two looks at the young ones: about 5 MB of small ones at most wait to be freed.
_NEW_OBJECTS = 50_000


def collect_seldom() -> None:
    """Leave everything imported so far out of every collection, and collect seldom from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
