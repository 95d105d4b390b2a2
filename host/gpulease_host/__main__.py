"""`python -m gpulease_host`: the same as the console script."""

import sys

from gpulease_host.cli import main

sys.exit(main())
