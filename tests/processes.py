"""What tests run in a process of its own."""

import os
import subprocess
import sys

# A process counts, on Linux, the peak of the one that it was forked from as its own: the tests'
# own, which may be gigabytes. One that does nothing else stands in between.
_BETWEEN = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"

PEAK = (
    "import resource, sys\n"
    "def peak():\n"
    "    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    "    return size * (1 if sys.platform == 'darwin' else 1024)\n"
)


def printed_by(code, *arguments, cwd=None):
    """Return what code prints in a fresh process, where `peak` tells its greatest size in bytes."""
    command = [sys.executable, "-c", PEAK + code, *map(str, arguments)]
    done = subprocess.run(
        [sys.executable, "-S", "-c", _BETWEEN, *command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
    )
    return done.stdout
