"""Is an answer of `edgectl infer --json` what a bundle expects? Shares may differ by a hundredth, or by what is said, and pixels by
none, or by what is said; what is not expected may be there.

    same.py ANSWER EXPECTED [SHARE PIXELS]
"""

import json
import sys


def same(found, wanted):
    if isinstance(wanted, dict):
        return all(key in found and same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, float):
        return abs(found - wanted) <= SHARE
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        return abs(found - wanted) <= PIXELS
    return found == wanted


SHARE, PIXELS = (float(word) for word in sys.argv[3:] or ("0.01", "0"))
found, wanted = (json.load(open(path)) for path in sys.argv[1:3])
if not same(found["result"], wanted):
    sys.exit(f"{found['result']}\nis not\n{wanted}")
