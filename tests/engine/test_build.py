"""The image: what it is built from, what is in it, what is not, and what a build says."""

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import trustme

from capy_template.matrix import stack
from tests.conftest import BakedProject
from tests.support.build_log import is_cached
from tests.support.light_project import empty
from tests.support.workers import image_of

VENV = "/opt/venv/lib/python3.*/site-packages"


def build(project, **environment):
    """Run `docker compose build` and return its log."""
    done = project.run("docker", "compose", "build", "--progress", "plain", **environment)
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    return log


@pytest.fixture
def copy(project):
    """A copy of the project whose builds leave the image of the other tests alone."""
    compose = project.path / "compose.yaml"
    compose.write_text(compose.read_text().replace("image: capy-test", "image: capy-copy"))
    return project


@pytest.fixture
def inspect(docker, image):
    """inspect(script): the output of a shell script in the image itself, as root, with nothing mounted."""

    def run(script: str) -> str:
        return docker.run(image, ["-euc", script], entrypoint="sh", user="root", remove=True)

    return run


# ------------------------------------------------------------------------------ what is in the image


def test_the_runtime_image_holds_nothing_that_only_the_build_needed(inspect):
    left = inspect(
        "ls -d "
        "/opt/uv/lib /opt/uv/bin/pip /cache/* /root/.cache /run/secrets /dev/shm/* /var/lib/apt/lists/*_* "
        f"/var/cache/apt/archives/*.deb {VENV}/pip {VENV}/ruff 2>/dev/null || true;"
        "dpkg --list python3-venv python3-pip git 2>/dev/null | grep '^ii' || true"
    )

    assert left == ""


def test_onnx_runtime_sends_no_telemetry(project):
    """With telemetry, it creates a folder with an id of the machine at import."""
    for name in ("-c import onnxruntime", "script.py"):
        done = project.run("docker", "compose", "run", "--rm", "app", *name.split(" ", 1))
        assert done.returncode == 0, done.stderr

    found = [path for path in (project.path / ".cache").rglob("*") if path.name != ".gitkeep"]
    assert [path.name for path in found] == [f"home-{project.path.stat().st_uid}"]


def test_the_accelerator_s_packages_are_there_and_the_other_one_s_are_not(inspect):
    names = inspect(f"ls -d {VENV}/onnxruntime*.dist-info")

    assert "onnxruntime-" in names
    assert "onnxruntime_gpu" not in names


def test_bytecode_is_compiled(inspect):
    """Else every start by a user compiles numpy and cv2 again, and cannot keep the result."""
    counts = inspect(
        f"cd {VENV}/numpy && find . -name '*.py' ! -path '*/tests/*' | wc -l && find . -name '*.pyc' | wc -l"
        " && find . -path '*/tests/*.py' | wc -l && find . -path '*/tests/*.pyc' | wc -l"
    )
    sources, compiled, tests, compiled_tests = map(int, counts.split())

    assert compiled == sources > 100
    assert tests > 100
    assert compiled_tests == 0  # nothing here runs them


def test_what_ends_with_the_container_is_open_to_every_uid_and_nothing_else(inspect):
    # packages may save beside themselves; the large packages' own files are closed: images share their layer
    closed = inspect(f"find /opt/venv -type d ! -perm -o+w; find {VENV}/pytest ! -perm -o+w")
    # no gap: a folder like /tmp and /cache, where nobody removes what is another's
    others = "! -path '/opt/venv*' ! -path /home/app ! -path /code"
    open_to_all = inspect(f"find / -xdev ! -type l -perm -o+w ! -perm -1000 {others}")

    assert (closed, open_to_all) == ("", "")


def test_no_user_is_in_root_s_group(inspect):
    """Which `docker exec --user app` would be in, as VS Code's terminals are."""
    assert inspect("id -G app; getent group root") == "1000\nroot:x:0:"


def test_the_project_is_in_the_image_without_its_settings_and_history(built, inspect):
    assert (built.path / ".env").exists()
    assert (built.path / "data").exists()

    names = inspect("ls -A /code").split()

    assert {"script.py", "src", "pyproject.toml"} <= set(names)
    assert not {".env", ".git", ".cache", "outputs", "data"} & set(names)


# A member of each kind, in the folders where people have them.
SECRETS = [
    *("services/api/.env", "services/api/.env.production", ".envrc", ".ray-token.part", "src/.hf_token"),
    *("deploy/id_ed25519", "deploy/id_rsa.old", "tls/server.key", "tls/privkey.pem", "vault.kdbx"),
    *("home/.ssh/config", "home/.aws/credentials", "home/.docker/config.json", "tools/.pypirc"),
    *(".git-credentials", "tools/pip.conf", "tools/.netrc", ".kaggle/kaggle.json", "libs/dep/.git/config"),
    *("gcp/service-account-prod.json", "certs/client.p12", "home/huggingface/stored_tokens"),
    *("home/.cargo/credentials.toml", "composer/auth.json", "libs/data/.dvc/config.local"),
]
WANTED = [
    ".env.example",
    "certs/authority.pem",
    "src/id_map.py",
    "src/tokens.py",
    "src/keys.json",
]


def test_no_secret_of_any_kind_is_in_the_image_and_a_closed_file_stays_closed(copy, docker):
    for name in [*SECRETS, *WANTED, "notes.txt", "diary/today.txt"]:
        path = copy.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("planted")
    (copy.path / "notes.txt").chmod(0o600)
    (copy.path / "diary").chmod(0o700)

    build(copy)

    def look(*command: str, user: str = "7777:7777") -> str:
        done = ["docker", "run", "--rm", "--user", user, "--entrypoint", command[0], image_of("capy-copy")]
        return copy.run(*done, *command[1:]).stdout

    found = look("find", "/code", "-type", "f", user="0").split()
    assert not {f"/code/{name}" for name in SECRETS} & set(found)
    assert {f"/code/{name}" for name in WANTED} <= set(found)
    closed = look("sh", "-c", "cat /code/notes.txt /code/diary/today.txt; cat /code/src/tokens.py")
    assert closed == "planted"
    assert look("sh", "-c", "cat /code/notes.txt /code/diary/today.txt", user="8888:0") == ""


def test_uid_1000_belongs_to_app_alone(docker, base, inspect):
    """Ubuntu 24.04 and the stand-in have a user `ubuntu` there, which keeps VS Code from mapping ids."""
    if base.stand_in:
        users = docker.run(base.name, ["getent", "passwd", "1000"], remove=True)
        assert users.startswith("ubuntu:")

    assert inspect("awk -F: '$3 == 1000 { print $1 }' /etc/passwd") == "app"


def test_a_strict_umask_on_the_host_hides_nothing_from_other_uids(base, bake, docker):
    """Of the project: the packages come from the index, with modes of their own."""
    copy = empty(bake(project="capy-copy"))
    (copy.path / "script.py").write_text("import capy_copy; print('it runs', capy_copy.__file__)\n")
    copy.run("chmod", "-R", "go-rwx", ".")

    build(copy)

    for options in ({"envs": {"USER_ID": "1234"}}, {"user": "7777:0"}):
        output = docker.run(image_of("capy-copy"), ["script.py"], remove=True, **options)
        assert "it runs /code/src/capy_copy/__init__.py" in output
        assert docker.run(image_of("capy-copy"), ["uv", "--version"], remove=True, **options).startswith(
            "uv "
        )
    imported = ["-c", "import capy_copy, pathlib; print(len(pathlib.Path('script.py').read_text()))"]
    assert int(docker.run(image_of("capy-copy"), imported, user="7777:7777", remove=True)) > 10


def test_no_certificate_of_the_build_is_in_the_image(docker, image, base, inspect):
    before = docker.run(
        base.name,
        ["-c", "cat /etc/ssl/certs/ca-certificates.crt | cksum"],
        entrypoint="sh",
        remove=True,
    )

    after = inspect("cat /etc/ssl/certs/ca-certificates.crt | cksum")

    assert after == before
    assert "ca-bundle" not in inspect("env; find / -xdev -name 'ca-bundle*'")


def test_no_layer_has_a_certificate_of_ca_bundle(light, tmp_path):
    """A new certificate, in a build that runs each step that downloads."""
    own = trustme.CA().cert_pem.bytes().decode()
    system = os.environ.get("CA_BUNDLE")
    bundle = tmp_path / "bundle.pem"
    bundle.write_text((Path(system).read_text() if system else "") + own)
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    project = BakedProject(Path(shutil.copytree(light.path, tmp_path / light.path.name)))
    compose, dockerfile = project.path / "compose.yaml", project.path / "docker/Dockerfile"
    compose.write_text(compose.read_text().replace("image: capy-env-light", "image: capy-copy"))
    first = "FROM system AS uv\n"
    given = f"RUN --mount=type=secret,id=ca sha256sum /run/secrets/ca | grep {digest}\n"
    dockerfile.write_text(dockerfile.read_text().replace(first, first + given))
    with (project.path / "pyproject.toml").open("a") as pyproject:
        pyproject.write(f"# {digest}: the packages are installed anew\n")

    log = build(project, CA_BUNDLE=str(bundle))

    assert not is_cached(log, "sync-environment --packages")
    saved = tmp_path / "image.tar"  # its layers, one after the other
    subprocess.run(["docker", "save", "--output", saved, image_of("capy-copy")], check=True)
    certificate = own.splitlines()[5]
    count = [["grep", "-c", "-a", "-F", text, saved] for text in (certificate, digest)]
    found = [subprocess.run(command, capture_output=True, text=True).stdout.strip() for command in count]
    assert found[0] == "0"
    assert found[1] != "0"  # the project's files are in the image


# ----------------------------------------------------------------------------------- what a build does


@pytest.mark.parametrize("private_index", ["", "https://pypi.example.com/simple"])
def test_docker_itself_finds_nothing_to_warn_of(base, bake, private_index):
    project = bake(project="capy-copy", private_index=private_index)
    check = [
        "docker",
        "build",
        "--check",
        "--build-arg",
        f"BASE_IMAGE={base.name}",
        "--file",
        "docker/Dockerfile",
        ".",
    ]

    done = project.run(*check)
    dockerfile = project.path / "docker/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "ARG SOME_PASSWORD\nFROM base as last\n")
    spoilt = project.run(*check)

    assert (done.returncode, "no warnings found" in done.stdout + done.stderr) == (0, True), done.stdout
    assert spoilt.returncode != 0


def test_new_code_does_not_install_the_packages_again(copy):
    build(copy)
    with (copy.path / "script.py").open("a") as script:
        script.write(f"# changed {time.time_ns()}\n")  # the engine knows the builds of the last run

    log = build(copy)

    assert is_cached(log, "sync-environment --packages")
    assert not is_cached(log, "COPY --chown=app:root . /code")


def test_the_lock_file_is_made_by_the_documented_command_decides_and_is_guarded(base, bake, docker):
    copy = empty(bake(project="capy-copy"))
    pyproject = copy.path / "pyproject.toml"
    text = pyproject.read_text().replace("test = []", 'test = ["pluggy"]')
    pyproject.write_text(f"{text}# {time.time_ns()}: the package is installed anew\n")

    assert "no uv.lock" in build(copy)

    command = ["docker", "compose", "run", "--rm", "app", "uv", "lock"]
    locked = copy.run(*command, "--upgrade-package", "pluggy==1.5.0")

    assert locked.returncode == 0, locked.stderr
    assert (copy.path / "uv.lock").stat().st_uid == copy.path.stat().st_uid

    log = build(copy)

    assert "no uv.lock" not in log
    version = "from importlib.metadata import version; print(version('pluggy'))"
    assert docker.run(image_of("capy-copy"), ["-c", version], remove=True) == "1.5.0"

    pyproject.write_text(pyproject.read_text().replace('"pluggy"', '"pluggy>=1.4"'))
    stale = copy.run("docker", "compose", "build", "--progress", "plain")

    assert stale.returncode != 0
    said = stale.stdout + stale.stderr
    assert f"sync: uv.lock is out of date: {' '.join(command)}" in said
    assert "sync-environment --packages" not in said, "it was found after the packages were installed"
    relocked = copy.run(*command)  # in the image of before
    assert relocked.returncode == 0, relocked.stderr
    build(copy)


def test_without_a_lock_file_the_image_keeps_its_own_and_the_project_has_none_yet(built, inspect):
    assert not (built.path / "uv.lock").exists()
    assert (
        inspect("find / -xdev -name uv.lock | sort; cmp /code/uv.lock /opt/uv.lock")
        == "/code/uv.lock\n/opt/uv.lock"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"CA_BUNDLE": "/nowhere/ca.pem"}, "failed to stat /nowhere/ca.pem", id="CA_BUNDLE"),
        pytest.param(
            {"ACCELERATOR": "foo"},
            "docker/accelerator-foo.yaml: no such file or directory",
            id="ACCELERATOR",
        ),
    ],
)
def test_a_wrong_setting_stops_the_build_with_the_text_that_the_page_of_errors_explains(
    project, settings, message
):
    done = project.run("docker", "compose", "build", **settings)

    assert done.returncode != 0
    assert message in done.stderr
    known = message.split("/nowhere")[0].replace("accelerator-foo", "accelerator-…").strip()
    assert known in project.read("docs/errors.md")


def test_a_cache_folder_that_does_not_exist_is_named_and_not_made(project):
    done = project.run("docker", "compose", "run", "--rm", "app", "true", CACHE_DIR="./nowhere")

    assert done.returncode != 0
    assert "bind source path does not exist" in done.stderr
    assert not (project.path / "nowhere").exists()
    assert "bind source path does not exist" in project.read("docs/errors.md")


# --------------------------------------------------------------------------------- what compose is told


@pytest.fixture
def config(project):
    """config(*files, **settings): what `docker compose config` makes of them, for the service app."""

    def run(*files: str, **settings: str) -> dict:
        options = [word for file in files for word in ("--file", file)]
        (project.path / ".env").unlink(missing_ok=True)
        done = project.run(
            "env",
            "-u",
            "BASE_IMAGE",
            "docker",
            "compose",
            *options,
            "config",
            "--format",
            "json",
            **settings,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["services"]["app"]

    return run


def test_by_default_it_reserves_all_gpus_and_builds_on_nvidia_s_image(config):
    app = config()

    assert app["deploy"]["resources"]["reservations"]["devices"] == [
        {"capabilities": ["gpu"], "driver": "nvidia", "device_ids": ["all"]}
    ]
    assert app["build"]["args"] == {
        "ACCELERATOR": "nvidia",
        "BUILDKIT_CACHE_MOUNT_NS": "capy-tests",
        "BASE_IMAGE": stack("inference", "cu13-py312").nvidia_image,
        "PUBLIC_INDEX_URL": "",
    }
    assert app["image"] == image_of("capy-test", "nvidia")
    assert app["stop_grace_period"] == "30s"  # a training script needs time to save its state


def test_without_a_gpu_it_reserves_nothing_and_builds_on_plain_ubuntu(config):
    app = config(ACCELERATOR="cpu")

    assert "deploy" not in app
    assert app["build"]["args"] == {
        "ACCELERATOR": "cpu",
        "BUILDKIT_CACHE_MOUNT_NS": "capy-tests",
        "BASE_IMAGE": "ubuntu:24.04",
        "PUBLIC_INDEX_URL": "",
    }
    assert app["image"] == image_of("capy-test")


@pytest.mark.parametrize("accelerator", ["nvidia", "cpu"])
def test_vs_code_gets_the_same_service_with_its_tools_and_no_ids_from_env(config, accelerator):
    plain = config(ACCELERATOR=accelerator)

    dev = config(
        "compose.yaml",
        ".devcontainer/compose.yaml",
        ACCELERATOR=accelerator,
        USER_ID="1",
        GROUP_ID="2",
    )

    assert dev.get("deploy") == plain.get("deploy")
    *binds, repository = (volume for volume in dev["volumes"] if volume["type"] == "bind")
    assert binds == plain["volumes"]
    assert repository["source"] == "/dev/null"  # of a git worktree, which this is not
    assert len(dev["volumes"]) > len(binds)  # its own, for what outlives a rebuild
    assert (plain["build"]["target"], dev["build"]["target"]) == ("runtime", "dev")
    assert dev["image"] == image_of("capy-test", f"{accelerator}-dev")
    assert dev["environment"] == {
        "CACHE_FROM": "./.cache",
        "GROUP_ID": "",
        "HF_TOKEN": None,
        "PUBLIC_INDEX_URL": "",
        "TZ": "",
        "USER_ID": "",
        "WANDB_API_KEY": None,
    }
