"""After the files are written: drop empty folders, write .env, say what is next."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

project = Path.cwd()

# cookiecutter cannot leave out a folder, only its files. rmdir never takes one that holds anything.
for folder in (
    *(".github/workflows", ".github", "docker/with-index", "models", "docs"),
    *("kubernetes/base", "kubernetes/overlays/rayjob", "kubernetes/overlays", "kubernetes"),
):
    if (project / folder).is_dir() and not any((project / folder).iterdir()):
        (project / folder).rmdir()

# In a temporary folder it is cruft that compares two versions: what .env has of a folder and of its machine
# would be differences between them. A project without .env works, too (on a GPU): an error here stops
# nothing else.
is_temporary = project.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve())
left_out = dict.fromkeys(("CHECKOUT", "BUILD_CACHE", "TZ", "GIT_REPOSITORY"), "")
settings = {**os.environ, **left_out} if is_temporary else None
if shutil.which("sh"):
    try:
        subprocess.run(["sh", "docker/write-env.sh"], env=settings, timeout=30)
    except subprocess.TimeoutExpired:
        print("The Docker Engine gave no answer in 30 s; later: sh docker/write-env.sh")

login = """
  export PYPI_ACCOUNT=you PYPI_PASSWORD='…'   # or .env, pip.conf, .netrc: README.md, In-house packages"""
print(f"""
{project.name} is ready. Next:
  cd {project.name}{login if (project / "docker/with-index").exists() else ""}
  docker compose run --rm app script.py   # the first time, this builds the image
  docker compose run --rm app pytest      # its tests
  docker compose run --rm app doctor      # does everything agree on this machine?
  code .                                  # VS Code offers: Reopen in Container
README.md says the rest: no GPU, who owns the files, what each file is for.""")
