"""Check packages, libraries, GPU, driver and folders; print what is wrong and what to type.

    docker compose run --rm app doctor    all checks
    doctor --build                        checks without a GPU: the last step of the build
    doctor --packages                     quick checks that only read files: after each `uv add`
    doctor --json                         the same as JSON

It needs nothing but Python. Frameworks and libraries are tested in separate processes, so a crash
there is a finding and the doctor goes on.

Put your own checks into docker/checks.py, which template updates leave alone:

    from pathlib import Path
    from doctor import problem, skipped

    def check_data(facts):
        if facts.building:
            yield skipped("/data is mounted when a container starts")
        elif not Path("/data").is_dir():
            yield problem("/data is missing", "train.py reads it", "set DATA_DIR in .env")

Every generator function check_NAME there is run, also in the build. A problem fails the build; a
remark("…") does not. A check can import installed packages, but not the project. After a change:
docker compose build. To try it without a build: docker compose run --rm app docker/doctor
"""

from .facts import Facts
from .findings import Finding, Findings, ok, problem, remark, skipped

__all__ = ["Facts", "Finding", "Findings", "ok", "problem", "remark", "skipped"]
