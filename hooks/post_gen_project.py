"""Remove empty folders, write .env and print the next steps, after cookiecutter wrote the files."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

project = Path.cwd()

# cookiecutter can leave out files, but not their folders. rmdir only removes empty ones.
for folder in (
    *(".github/workflows", ".github", "docker/with-index", "models"),
    *("kubernetes/base", "kubernetes/overlays/rayjob", "kubernetes/overlays", "kubernetes"),
):
    if (project / folder).is_dir() and not any((project / folder).iterdir()):
        (project / folder).rmdir()

# cruft generates into temporary folders to compare two versions: settings of the folder would differ there.
# A project works without .env, too (on a GPU), so errors here are ignored.
is_temporary = project.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve())
left_out = dict.fromkeys(("CHECKOUT", "BUILD_CACHE", "TZ", "GIT_REPOSITORY"), "")
settings = {**os.environ, **left_out} if is_temporary else None
if shutil.which("sh"):
    try:
        subprocess.run(["sh", "docker/write-env.sh"], env=settings, timeout=30)
    except subprocess.TimeoutExpired:
        print("The Docker Engine gave no answer in 30 s. Start it, then run: sh docker/write-env.sh")

# Without .env, or if no engine answered, a build is for a GPU.
dotenv = project / ".env"
lines = dotenv.read_text(encoding="utf-8", errors="replace").splitlines() if dotenv.is_file() else []
on_cpu = "ACCELERATOR=cpu" in lines
gpu, cpu = (
    "{{ (cookiecutter | stack).first_build('nvidia') }}",
    "{{ (cookiecutter | stack).first_build('cpu') }}",
)
cost = cpu if on_cpu else gpu
login = """
Log in, here or in .env, pip.conf or .netrc (docs/private-index.md):
  export PYPI_ACCOUNT=you PYPI_PASSWORD='…'"""
# zsh passes a pasted comment on as arguments, so each explanation has a line of its own.
print(f"""
{project.name} is ready. Next:
  cd {project.name}{login if (project / "docker/with-index").exists() else ""}
Build the image ({cost}) and run the example:
  docker compose run --rm app script.py
Check driver, CUDA and packages:
  docker compose run --rm app doctor
README.md has the rest: VS Code, tests, no GPU, file owners.""")
