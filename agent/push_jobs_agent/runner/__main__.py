"""The program: ``python -I -S .../push_jobs_agent/runner``. Only finds its own package.

Started that way, Python knows the standard library alone; ours comes after it, so that nothing that
is installed beside us can take its place.
"""

from __future__ import annotations

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# When a folder is run, Python looks into it before the standard library.
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]
sys.path.append(os.path.dirname(os.path.dirname(HERE)))

from push_jobs_agent.runner.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
