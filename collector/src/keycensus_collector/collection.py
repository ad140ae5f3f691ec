"""How often Python looks for objects that refer to each other in circles, in a collector that serves.

Such a look stops every thread. Over all that the collector has imported it takes a third of a second,
for which every agent that reports and every page that is asked for then waits; there is nothing to find.
"""

from __future__ import annotations

import gc

# New objects between two looks at the young ones. A batch is tens of thousands of tuples that die by
# themselves a moment later; looking through them as often as Python does by default costs a tenth of intake.
_NEW_OBJECTS = 20_000


def collect_seldom() -> None:
    """Leave everything there is by now out of every collection, and collect seldom from now on."""
    gc.freeze()
    gc.set_threshold(max(_NEW_OBJECTS, gc.get_threshold()[0]), *gc.get_threshold()[1:])
