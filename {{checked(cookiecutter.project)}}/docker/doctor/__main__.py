"""Start the doctor: `doctor` in the image, `python docker/doctor` in the project's folder."""

import signal
import sys
from pathlib import Path

# With the parent folder in sys.path, this folder can be imported as `doctor`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from doctor.report import main  # noqa: E402

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # doctor | head
    sys.exit(main())
