"""Lambda entry points.

A cold start only loads: modules, and the description of each AWS service it calls. None of that is ever garbage, but at
Python's default thresholds the collector looks all of it through again and again, for a fifth of the start's CPU time.
So the threshold is above what the largest start leaves behind, 130,000 objects.
"""

import gc

gc.set_threshold(200_000, 20, 100)
