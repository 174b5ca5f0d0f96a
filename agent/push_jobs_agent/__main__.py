"""`python -m push_jobs_agent` is the agent's command line."""

import sys

from push_jobs_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
