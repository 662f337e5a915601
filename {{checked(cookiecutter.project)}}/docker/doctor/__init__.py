"""Check packages, libraries, GPU, driver and folders; say what is wrong and what to type.

    docker compose run --rm app doctor    everything
    doctor --build                        what needs no GPU: the last step of the build
    doctor --packages                     what files tell, in a moment: after each change by uv
    doctor --json                         the same for programs

It needs Python alone, so it runs when everything else is broken. Frameworks and libraries are tried
in processes of their own: a crash there is a finding, not the end of the doctor.

Checks of your own belong into docker/checks.py, which no update of this folder touches:

    from pathlib import Path
    from doctor import problem, skipped

    def check_data(facts):
        if facts.building:
            yield skipped("/data is mounted when a container starts")
        elif not Path("/data").is_dir():
            yield problem("/data is missing", "train.py reads it", "mount it: compose.project.yaml")

Every function there named check_NAME is run, in the build, too; a problem fails the build, and
remark("…") is a line that does not. It is a generator that may yield nothing, and imports what is
installed, not the project. `docker compose build` puts a changed checks.py into the image; `docker
compose run --rm app docker/doctor` tries it without a build.
"""

from .facts import Facts
from .findings import Finding, Findings, ok, problem, remark, skipped

__all__ = ["Facts", "Finding", "Findings", "ok", "problem", "remark", "skipped"]
