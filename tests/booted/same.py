"""Is an answer of `edgectl infer --json` what a bundle expects? Numbers may differ by a hundredth; what is not expected may be there.

    same.py ANSWER EXPECTED
"""

import json
import sys


def same(found, wanted):
    if isinstance(wanted, dict):
        return all(key in found and same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, float):
        return abs(found - wanted) <= 0.01
    return found == wanted


found, wanted = (json.load(open(path)) for path in sys.argv[1:])
if not same(found["result"], wanted):
    sys.exit(f"{found['result']}\nis not\n{wanted}")
