"""compose.guarded.yaml: what code in a container does to its host, it does not do there.

Each attack succeeds in the normal service, which has the project's folder as a bind mount.
"""

from __future__ import annotations

import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate
from tests.generation.conftest import contents
from tests.support.build_log import is_cached
from tests.support.engine import change_owner
from tests.support.index_server import package_index
from tests.support.light_project import empty

NORMAL = ("docker", "compose", "run", "--rm", "app")
GUARDED = ("docker", "compose", "--file", "compose.guarded.yaml", "run", "--rm", "app")
PASSWORD = "a-password-of-the-host"
SECRETS = (".env", ".git/config", ".cache/huggingface/token")
# What the host runs or reads, and the code that changes it.
ATTACKS = {
    ".env": "open('.env', 'a').write('USER_ID=0\\nCACHE_DIR=/\\n')",
    ".cache": "shutil.rmtree('.cache'); os.symlink('/', '.cache')",
    "compose.override.yaml": "open('compose.override.yaml', 'w').write('services: {app: {user: root}}')",
    ".git/hooks/pre-commit": "open('.git/hooks/pre-commit', 'w').write('touch pwned')",
    "docker/write-env.sh": "open('docker/write-env.sh', 'a').write('touch pwned')",
    ".devcontainer/devcontainer.json": "open('.devcontainer/devcontainer.json', 'w').write('{}')",
    "compose.guarded.yaml": "open('compose.guarded.yaml', 'w').write('services: {app: {image: x}}')",
    "outputs": "os.rename('outputs', 'o'); os.symlink('.git/hooks', 'outputs')",
}
# Each of them, whatever becomes of the others.
ATTACK = f"""
import os, shutil
for attack in {list(ATTACKS.values())}:
    try:
        exec(attack)
    except OSError as error:
        print(attack, error)
"""
HOG = """
import os, time
made = 0
try:
    while made < 300:
        if os.fork() == 0:
            time.sleep(10)
            os._exit(0)
        made += 1
except BlockingIOError:
    pass
print('processes:', made, flush=True)
os.kill(-1, 9)
"""


@pytest.fixture
def victim(light: BakedProject, image: str, tmp_path: Path) -> Iterator[BakedProject]:
    """A project of uid 1234 with secrets, a git repository and results in it."""
    project = BakedProject(Path(shutil.copytree(light.path, tmp_path / light.path.name)))
    for name in (*SECRETS, ".git/hooks/README", "outputs/earlier"):
        (project.path / name).parent.mkdir(parents=True, exist_ok=True)
        with (project.path / name).open("a") as file:
            file.write(f"# {PASSWORD}\n")
    change_owner(project.path, 1234, 5678, image)
    yield project
    change_owner(project.path, 0, 0, image)


def test_nothing_that_the_host_runs_or_reads_can_be_changed(victim):
    before = host_files(victim)

    guarded = run(victim, GUARDED, ATTACK)
    after = host_files(victim)
    normal = run(victim, NORMAL, ATTACK)

    assert changed(before, after) == set(), guarded
    assert set(ATTACKS) - changed(before, host_files(victim)) == set(), normal  # each attack is one


def test_no_secret_of_the_project_and_no_capability_is_there(victim):
    read = (
        "import pathlib\nfor path in [*pathlib.Path('/code').rglob('*'), *pathlib.Path('/cache').rglob('*'), "
        "*pathlib.Path('/run/secrets').glob('[!c]*')]:\n"
        "    if path.is_file() and not path.is_relative_to('/code/outputs'): print(path.read_bytes())\n"
        "print(open('/proc/self/status').read())"
    )

    guarded = run(victim, GUARDED, read)

    assert PASSWORD not in guarded
    assert "CapEff:\t0000000000000000" in guarded
    assert "NoNewPrivs:\t1" in guarded
    assert run(victim, NORMAL, read).count(PASSWORD) >= len(SECRETS)


def test_no_step_with_packages_is_one_of_a_guarded_build(victim):
    """Its packages may have changed what other builds would find in a shared step."""
    pyproject = victim.path / "pyproject.toml"
    pyproject.write_text(f"{pyproject.read_text()}# {uuid.uuid4()}\n")  # no build has been here before
    logs = []
    # the build's network counts for the cache, and is the override's in a normal build
    guarded = (*GUARDED[:4], "--file", "compose.override.yaml")
    for compose in (guarded, NORMAL[:2], NORMAL[:2]):
        done = victim.run(*compose, "build", "--progress", "plain", "app")
        assert done.returncode == 0, done.stderr
        logs.append(done.stdout + done.stderr)

    assert [is_cached(log, r"\[runtime .*sync-environment --packages") for log in logs] == [
        False,
        False,
        True,
    ]


@pytest.mark.nightly
@pytest.mark.parametrize("accounts", [{"corp": PASSWORD}, None], ids=["a login", "open"])
def test_private_packages_are_there_only_if_their_index_asks_for_no_login(base, tmp_path, accounts):
    """pyproject.toml names the server: a build with the login would send it where untrusted code says.

    In `make test`: test_private_index.py has the refusal and its advice.
    """
    login = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": PASSWORD} if accounts else {}
    with package_index(tmp_path / "private", {"in-house-package": "1.0"}, accounts) as index:
        answers = {"private_index": index.url, "private_packages": "in-house-package"}
        project = empty(generate(tmp_path, project="capy-copy", **answers))
        normal, guarded = (
            project.run(*compose, "build", "--progress", "plain", "app", **login)
            for compose in (NORMAL[:2], (*GUARDED[:4], "--file", "compose.override.yaml"))
        )

    said = guarded.stdout + guarded.stderr
    assert (normal.returncode, guarded.returncode == 0) == (0, not accounts), normal.stderr + said
    assert ("asks for an account and a password" in said) == bool(accounts)
    assert PASSWORD not in said
    assert "only if the index asks for none" in project.read("docs/untrusted-code.md")


def test_there_is_no_network_unless_it_is_asked_for(victim, listener):
    guarded = run(victim, GUARDED, listener)
    asked = run(victim, GUARDED, listener, NETWORK="bridge")

    assert "Error" in guarded and "connected" not in guarded
    assert "routes: 0\n" in guarded
    assert "routes: " in asked and "routes: 0\n" not in asked
    assert "connected" in run(victim, GUARDED, listener, NETWORK="host")
    assert "connected" in run(victim, NORMAL, listener)


@pytest.fixture
def listener() -> Iterator[str]:
    """Code that counts the routes, then connects to a server of the host, which is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = ("127.0.0.1", server.getsockname()[1])
        yield (
            "import socket\nprint('routes:', len(open('/proc/net/route').readlines()) - 1, flush=True)\n"
            f"socket.create_connection({address}, 3)\nprint('conn' + 'ected')"
        )


def test_a_fork_bomb_stops_at_the_limit(victim):
    limited = run(victim, GUARDED, HOG, PIDS_LIMIT="60")
    free = run(victim, NORMAL, HOG)

    assert 30 < int(limited.partition("processes: ")[2].split()[0]) < 60
    assert "processes: 300\n" in free


def test_what_it_writes_to_outputs_is_the_owner_s(victim):
    run(victim, GUARDED, "open('outputs/new', 'w').write('made')")

    made = victim.path / "outputs/new"
    assert made.read_text() == "made"
    assert (made.stat().st_uid, made.stat().st_gid) == (1234, 5678)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda outputs: None, "bind source path does not exist", id="there are none"),
        *(
            pytest.param(
                lambda outputs, leads=leads: outputs.symlink_to(leads),
                "entrypoint: outputs is a symlink, or no folder of this project",
                id=f"a symlink to {leads}",
            )
            for leads in (".git/hooks", "/", "other/outputs")
        ),
    ],
)
def test_outputs_that_are_no_folder_are_refused_before_anything_runs(
    victim, spoil: Callable[[Path], None], said
):
    outputs = victim.path / "outputs"
    shutil.rmtree(outputs)
    (victim.path / "other/outputs").mkdir(parents=True)
    spoil(outputs)
    before = contents(victim.path)

    done = run(victim, GUARDED, "open('outputs/pre-commit', 'w').write('touch pwned')")

    assert said in done
    before["script.py"] = (victim.path / "script.py").read_bytes()
    assert contents(victim.path) == before


def host_files(project: BakedProject) -> dict[str, bytes | str | None]:
    """Return what the host has of a project: files with their bytes, symlinks with where they lead."""
    return {
        path.relative_to(project.path).as_posix(): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in project.path.rglob("*")
        if path.name != "script.py"
    }


def changed(before: dict, after: dict) -> set[str]:
    """Return the names that are new, gone or other than before."""
    missing = object()
    names = before.keys() | after.keys()
    return {name for name in names if before.get(name, missing) != after.get(name, missing)}


def run(project: BakedProject, service: tuple[str, ...], code: str, **settings: str) -> str:
    """Run `code` as script.py in a service of the project, and return all that was printed."""
    (project.path / "script.py").write_text(code)
    done = project.run(*service, "script.py", **settings)
    return done.stdout + done.stderr
