"""Health check: exits with 0 where the address that is named answers 200."""

import sys
import urllib.request

urllib.request.urlopen(sys.argv[1], timeout=2)
