"""`make bench`: every benchmark in turn."""

import sys

from benchmarks import reconcile

if __name__ == "__main__":
    sys.exit(reconcile.main())
