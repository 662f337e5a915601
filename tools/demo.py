"""Generate a project, build its image and run its script.

    python -m tools.demo

The project stays in demo/; an existing one is used again.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from engines.base_image import base_image
from engines.engine import Engine, find_or_start, guarded
from engines.steps import EngineError, say

TEMPLATE = Path(__file__).resolve().parent.parent
PROJECT = TEMPLATE / "demo" / "my-project"
PICTURE = PROJECT / "outputs" / "example-edges.png"


def demo() -> int:
    """Run the demo and return its exit code. Raises EngineError with one line on what failed."""
    engine = find_or_start()
    say(f"using {engine.description}")
    # one demo's downloads serve the next
    environment = {"BUILD_CACHE": "capy-demo", **os.environ, **engine.env}
    if bundle := os.environ.get("SSL_CERT_FILE"):
        environment.setdefault("CA_BUNDLE", bundle)

    if PROJECT.exists():
        say(f"{shown(PROJECT)} exists and is used again; remove it to start from scratch")
    else:
        generate(environment)

    settings = base_settings(engine, environment)
    environment |= settings
    show(["docker", "compose", "build"], PROJECT, environment, settings)
    show(["docker", "compose", "run", "--rm", "app", "script.py"], PROJECT, environment, settings)

    owner, wanted = PICTURE.stat().st_uid, PROJECT.stat().st_uid
    if owner != wanted:
        raise EngineError(f"{shown(PICTURE)} belongs to uid {owner}, its project to uid {wanted}")
    say(f"{shown(PICTURE)} is the result; it belongs to uid {owner}, as the project does")
    if engine.private:
        say('its engine still runs; to use it: eval "$(.venv/bin/python -m engines.engine env)"')
        say("to stop it: make engine-stop")
    return 0


def generate(environment: dict[str, str]) -> None:
    """Generate the project with the default answers. Raises CalledProcessError if that fails."""
    PROJECT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "settings.yaml")  # the user's last answers stay those of `--replay`
        settings.write_text(f"replay_dir: {folder}/replay\n")
        cookiecutter = [sys.executable, "-m", "cookiecutter", "--no-input", f"--config-file={settings}"]
        show([*cookiecutter, str(TEMPLATE), f"project={PROJECT.name}"], PROJECT.parent, environment)


def base_settings(engine: Engine, environment: dict[str, str]) -> dict[str, str]:
    """Return BASE_IMAGE if the project's base image is not available and a stand-in was made."""
    config = subprocess.run(
        ["docker", "compose", "config"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if config.returncode:
        raise EngineError(f"{shown(PROJECT)}/compose.yaml: {config.stderr.strip()}")
    wanted = yaml.safe_load(config.stdout)["services"]["app"]["build"]["args"]["BASE_IMAGE"]
    base = base_image(wanted, engine)
    if not base.stand_in:
        return {}
    say(f"STAND-IN: building on {base.name}, not on {wanted} ({base.why})")
    return {"BASE_IMAGE": base.name}


def show(
    command: list[str],
    folder: Path,
    environment: dict[str, str],
    settings: dict[str, str] | None = None,
) -> None:
    """Print a command and run it in `folder`. Raises CalledProcessError if it fails."""
    words = [f"{name}={value}" for name, value in (settings or {}).items()] + command
    print(f"\n{shown(folder)}$ {shlex.join(words)}", flush=True)
    subprocess.run(command, cwd=folder, env=environment, check=True)


def shown(path: Path) -> str:
    """Return a path relative to the template's folder."""
    return str(path.relative_to(TEMPLATE))


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__.splitlines()[0]).parse_args()
    sys.exit(guarded(demo))
