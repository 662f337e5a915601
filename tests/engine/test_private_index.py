"""The private index: every way to give its password builds, and leaves the password nowhere.

The index is a real one (pypiserver with accounts). The projects have no package but its own, so
that a dozen builds take minutes; tests/engine/test_dependency_confusion.py has the public ones, too.
"""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from rich.console import Console
from rich.table import Table

from tests.conftest import BakedProject, generate, use_cookiecutter_settings_of
from tests.support.build_log import is_cached
from tests.support.index_server import PackageIndex, package_index
from tests.support.leaks import HISTORY, Password, build_records, in_folder, output, places
from tests.support.light_project import empty, without_retries
from tests.support.workers import image_of, report

IMAGE = image_of("capy-index")
PASSWORDS = {
    "plain": Password("corp", "s3cr3t-Yxq7Zk2P", "Yxq7Zk2P"),
    "special": Password("hard", "p@ss:w/o%r#d x+&?=1Wv9Tb4Lm", "1Wv9Tb4Lm"),
    "e-mail": Password("corp@example.com", "s3cr3t-Hn6Rd8Jc", "Hn6Rd8Jc"),
}
ACCOUNTS = {password.account: password.text for password in PASSWORDS.values()}
NASTIEST = "special"
OLD = "old build argument"


@dataclass
class Attempt:
    """A build, how it was asked for, and what came of it."""

    project: BakedProject
    environment: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)  # of a plain `docker build`, else Compose builds
    own: set[str] = field(default_factory=set)  # the files that the user keeps the password in
    log: str = ""
    code: int = -1
    builds: set[str] = field(default_factory=set)

    def build(self) -> Attempt:
        """Build the image, and keep everything that was said."""
        before = build_records(self.project.path.name)
        command = ["docker", "compose", "build", "--progress", "plain"]
        if self.arguments:
            command = ["docker", "build", "--progress", "plain", "--network", "host", "--tag", IMAGE]
            command += ["--file", "docker/Dockerfile", "--target", "runtime", *self.arguments]
            for name, value in {"BASE_IMAGE": os.environ.get("BASE_IMAGE"), "ACCELERATOR": "cpu"}.items():
                command += ["--build-arg", f"{name}={value}"] if value else []
            if bundle := os.environ.get("CA_BUNDLE"):
                command += ["--secret", f"id=ca,src={bundle}"]
            command.append(".")
        done = self.project.run(*command, **self.environment)
        self.log, self.code = done.stdout + done.stderr, done.returncode
        self.builds = build_records(self.project.path.name) - before
        assert self.builds, "the engine has no record of this build, so none can be searched"
        return self

    def said(self) -> list[str]:
        """Return with-index's own lines, each once: Docker repeats them in its summary."""
        lines = [
            line.partition("with-index: ")[2] for line in self.log.splitlines() if "with-index: " in line
        ]
        return list(dict.fromkeys(lines))

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of the project."""
        return self.project.run(
            *("docker", "compose", "run", "--rm", *command), **{**self.environment, **environment}
        )


def in_the_shell(attempt: Attempt, index: PackageIndex, password: Password) -> None:
    """PYPI_ACCOUNT and PYPI_PASSWORD are exported."""
    attempt.environment |= {"PYPI_ACCOUNT": password.account, "PYPI_PASSWORD": password.text}


def in_dotenv(attempt: Attempt, index: PackageIndex, password: Password) -> None:
    """Both stand in .env."""
    with (attempt.project.path / ".env").open("a") as file:
        file.write(f"PYPI_ACCOUNT={password.account}\nPYPI_PASSWORD='{password.text}'\n")
    attempt.own.add(".env")


def in_pip_conf(attempt: Attempt, index: PackageIndex, password: Password) -> None:
    """PIP_CONF names the pip.conf that the user has, with another server in it."""
    login = f"{quote(password.account, safe='')}:{quote(password.text, safe='')}"
    path = attempt.project.path.parent / "pip.conf"
    path.write_text(
        f"[global]\nindex-url = {index.url.replace('://', f'://{login}@')}\ntrusted-host = {index.host}\n"
        "extra-index-url =\n    https://other:not-this-one@pypi.example.com/simple\n"
    )
    attempt.environment["PIP_CONF"] = str(path)


def in_netrc(attempt: Attempt, index: PackageIndex, password: Password) -> None:
    """NETRC names the user's .netrc."""
    path = attempt.project.path.parent / ".netrc"
    path.write_text(f'machine {index.host} login "{password.account}" password "{password.text}"\n')
    path.chmod(0o600)
    attempt.environment["NETRC"] = str(path)


def in_a_plain_build(attempt: Attempt, index: PackageIndex, password: Password) -> None:
    """`docker build --secret`, without Compose."""
    attempt.environment["PYPI_PASSWORD"] = password.text
    attempt.arguments += ["--build-arg", f"PYPI_ACCOUNT={password.account}"]
    attempt.arguments += ["--secret", "id=pypi_password,env=PYPI_PASSWORD"]


def in_a_build_argument(attempt: Attempt, index: PackageIndex, password: Password) -> None:
    """`docker build --build-arg PYPI_PASSWORD=...`, as people did before."""
    attempt.arguments += ["--build-arg", f"PYPI_ACCOUNT={password.account}"]
    attempt.arguments += ["--build-arg", f"PYPI_PASSWORD={password.text}"]


WAYS: dict[str, Callable[[Attempt, PackageIndex, Password], None]] = {
    "shell": in_the_shell,
    ".env": in_dotenv,
    "pip.conf": in_pip_conf,
    ".netrc": in_netrc,
    "docker build --secret": in_a_plain_build,
    OLD: in_a_build_argument,
}


# The nastiest password with every way.
IN_MAKE_TEST = {(way, NASTIEST) for way in WAYS}


@pytest.fixture
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PackageIndex]:
    """An index at an address of this test: it finds its own steps, and no other test's, in the cache."""
    with served(tmp_path, request.node.nodeid) as found:
        yield found


@pytest.fixture
def new_index(tmp_path: Path) -> Iterator[PackageIndex]:
    """An index at a new address in each run, for tests that read what each step of a build says."""
    with served(tmp_path) as found:
        yield found


def served(folder: Path, content: str = "") -> AbstractContextManager[PackageIndex]:
    """Serve an index with two packages, closed to all but the accounts above."""
    packages = {"in-house-package": "1.0", "in-house-tool": "1.0"}
    return package_index(folder / "private", packages, ACCOUNTS, content=content)


@pytest.fixture
def attempt(base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Attempt]:
    """attempt(url): a project with this private index and nothing else to install, not built yet."""
    use_cookiecutter_settings_of(tmp_path, monkeypatch)

    def make(url: str, **answers: str) -> Attempt:
        chosen = {"private_index": url, "private_packages": "in-house-package", **answers}
        return Attempt(empty(generate(tmp_path, project="capy-index", **chosen)))

    return make


@pytest.fixture(scope="module")
def leaks(pytestconfig: pytest.Config) -> Iterator[dict[str, dict[str, list[str]]]]:
    """What was found for each way in each place; shown as a table at the end."""
    found: dict[str, dict[str, list[str]]] = {}
    yield found
    columns = list(dict.fromkeys(place for row in found.values() for place in row))
    table = Table("where the password was", *columns)
    for way, row in found.items():
        table.add_row(
            way, *(("LEAK" if row[place] else "clean") if place in row else "-" for place in columns)
        )
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    for line in console.file.getvalue().splitlines():
        report(pytestconfig, line)


def note(leaks, way: str, found: dict[str, list[str]]) -> None:
    """Add to the table what was found."""
    row = leaks.setdefault(way, {})
    for place, where in found.items():
        row.setdefault(place, []).extend(where)


@pytest.mark.parametrize(
    ("way", "name"),
    [
        pytest.param(*pair, marks=() if pair in IN_MAKE_TEST else pytest.mark.nightly)
        for pair in itertools.product(WAYS, PASSWORDS)
    ],
)
def test_a_build_has_the_package_and_the_password_is_nowhere(attempt, new_index, leaks, way, name):
    password = PASSWORDS[name]
    tried = attempt(new_index.url)
    WAYS[way](tried, new_index, password)

    tried.build()

    assert tried.code == 0, tried.log
    version = output("docker", "run", "--rm", "--entrypoint", "/opt/venv/bin/python", IMAGE, "-c", WHICH)
    assert version.decode().strip() == "1.0"
    found = places(tried.project, IMAGE, tried.log, tried.builds, password, tried.own)
    found["replay file"] = list(in_folder(tried.project.path.parent / "replay", password))
    if not tried.arguments:
        found |= in_a_container(tried, way, password)
    note(leaks, way, found)
    # Docker keeps the arguments of each build in its own history; nothing in a Dockerfile can change that.
    assert {place for place, where in found.items() if where} == ({HISTORY} if way == OLD else set()), found


WHICH = "import in_house_package; print(in_house_package.VERSION)"


def in_a_container(tried: Attempt, way: str, password: Password) -> dict[str, list[str]]:
    """Add a package in a container; return where the password was seen in it, and what it left."""
    by_hand = ["--env", "PYPI_PASSWORD"] if way == "shell" else []

    added = tried.run(*by_hand, "app", "uv", "add", "--index", "private", "in-house-tool")
    environment = tried.run("app", "sh", "-c", "env; uv run --no-sync env")

    assert (added.returncode, environment.returncode) == (0, 0), added.stderr + environment.stderr
    assert "+ in-house-tool==1.0" in added.stderr
    assert 'in-house-tool = { index = "private" }' in tried.project.read("pyproject.toml")
    assert "in-house-tool" in tried.project.read("uv.lock")
    return {
        "run: output": [text for text in (added.stdout, added.stderr) if password.is_in(text.encode())],
        "run: environment": ["env"] if password.is_in(environment.stdout.encode()) else [],
        "run: project, uv.lock": list(in_folder(tried.project.path, password, tried.own)),
    }


SOURCE = 'in-house-package = { index = "private" }\n'


def test_an_outdated_lock_file_is_named_before_packages_are_installed(attempt, index):
    """By a step without the login, where uv cannot ask the index for the new package."""
    tried = attempt(index.url)
    in_the_shell(tried, index, PASSWORDS["plain"])
    tried.build()
    assert tried.run("app", "true").returncode == 0  # the first run writes uv.lock
    pyproject = tried.project.path / "pyproject.toml"
    for old, new in (
        ('"in-house-package"]', '"in-house-package", "acme-tool"]'),
        (SOURCE, f'{SOURCE}acme-tool = {{ index = "private" }}\n'),
    ):
        assert old in pyproject.read_text()
        pyproject.write_text(pyproject.read_text().replace(old, new))
    with pyproject.open("a") as file:
        file.write(f"# {time.time_ns()}: no earlier run had this file\n")

    tried.build()

    assert tried.code != 0
    assert is_cached(tried.log, "pip install"), "uv is installed again"
    assert "sync: uv.lock is out of date: docker compose run --rm app uv lock" in tried.log
    assert "sync-environment --packages" not in tried.log


# What names a login in another way than PYPI_ACCOUNT, and what the engine keeps of each build.
WRONG_IN_MAKE_TEST = {"shell", "pip.conf", ".netrc", OLD}


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=() if way in WRONG_IN_MAKE_TEST else pytest.mark.nightly) for way in WAYS],
)
def test_a_wrong_password_is_named_by_its_setting_and_is_not_printed(attempt, index, leaks, way):
    wrong = Password("corp", "wr0ng:p@ss/word-Kp5Gs3Xd", "Kp5Gs3Xd")
    tried = attempt(index.url)
    WAYS[way](tried, index, wrong)

    tried.build()

    origin = {"pip.conf": "PIP_CONF", ".netrc": "NETRC"}.get(way, "PYPI_ACCOUNT and PYPI_PASSWORD")
    assert tried.code != 0
    assert tried.said() == [
        f"the index 'private' in pyproject.toml ({index.url}) refuses (403) "
        f"the login from {origin}, account corp"
    ]
    found = places(tried.project, "", tried.log, tried.builds, wrong, tried.own)
    note(leaks, f"{way}, wrong", found)
    assert {place for place, where in found.items() if where} == ({HISTORY} if way == OLD else set()), found


@dataclass(frozen=True)
class Mistake:
    """A setting that is wrong, and how the one line about it goes on."""

    complaint: str
    environment: dict[str, str] = field(default_factory=dict)
    url: str = "{url}"
    packages: str = "in-house-package"
    locked: bool = False


INDEX = "the index 'private' in pyproject.toml ({url})"
GOOD = {"PYPI_ACCOUNT": "corp", "PYPI_PASSWORD": ACCOUNTS["corp"]}
MISTAKES = {
    "nothing is set": Mistake(
        f"{INDEX} asks for an account and a password: "
        "set PYPI_ACCOUNT and PYPI_PASSWORD, or PIP_CONF, or NETRC"
    ),
    "an account without a password": Mistake(
        f"{INDEX} asks for an account and a password: PYPI_ACCOUNT is corp, but PYPI_PASSWORD is empty here",
        {"PYPI_ACCOUNT": "corp"},
    ),
    "nothing is set, with uv.lock": Mistake(
        f"{INDEX} asks for an account and a password: "
        "set PYPI_ACCOUNT and PYPI_PASSWORD, or PIP_CONF, or NETRC",
        locked=True,
    ),
    "an account without a password, with uv.lock": Mistake(
        f"{INDEX} asks for an account and a password: PYPI_ACCOUNT is corp, but PYPI_PASSWORD is empty here",
        {"PYPI_ACCOUNT": "corp"},
        locked=True,
    ),
    "a password without an account": Mistake(
        f"{INDEX} asks for an account and a password: PYPI_PASSWORD is set, but PYPI_ACCOUNT is empty",
        {"PYPI_PASSWORD": ACCOUNTS["corp"]},
    ),
    "the package is not there": Mistake(
        f"{INDEX} has no package in-house-pakage (404): check the name",
        GOOD,
        packages="in-house-pakage",
    ),
    "a typo in the path": Mistake(
        "the index 'private' in pyproject.toml ({root}/simpel) is no package index (404): check the URL, "
        "most end in /simple",
        GOOD,
        url="{root}/simpel",
    ),
    "a typo in the host": Mistake(
        "the index 'private' in pyproject.toml (http://pypi.invalid:8080/simple) cannot be reached",
        GOOD,
        url="http://pypi.invalid:8080/simple",
    ),
    "a trusted host that is none": Mistake(
        f"PYPI_TRUSTED_HOST=pypi.example.com is not the host of {INDEX}",
        {**GOOD, "PYPI_TRUSTED_HOST": "pypi.example.com"},
    ),
    "a mirror that does not answer": Mistake(
        "PUBLIC_INDEX_URL (http://127.0.0.1:9/simple) cannot be reached (Connection refused)",
        {**GOOD, "PUBLIC_INDEX_URL": "http://127.0.0.1:9/simple"},
    ),
}


# One of each: no login, another answer of the index, another server.
MISTAKES_IN_MAKE_TEST = {
    *("nothing is set", "nothing is set, with uv.lock"),
    *("the package is not there", "a mirror that does not answer"),
}


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(mistake, id=name, marks=() if name in MISTAKES_IN_MAKE_TEST else pytest.mark.nightly)
        for name, mistake in MISTAKES.items()
    ],
)
def test_a_mistake_is_one_line_that_names_the_setting(attempt, index, mistake):
    names = {"url": index.url, "root": index.root}
    tried = attempt(mistake.url.format(**names), private_packages=mistake.packages)
    if mistake.locked:
        lock(tried.project, index)
    tried.environment = mistake.environment
    without_retries(tried.project)

    tried.build()

    assert tried.code != 0
    assert len(tried.said()) == 1, tried.log
    assert tried.said()[0].startswith(mistake.complaint.format(**names))
    assert not PASSWORDS["plain"].is_in(tried.log.encode())


def lock(project: BakedProject, index: PackageIndex) -> None:
    """Write uv.lock on this machine."""
    uv = Path(sys.executable).with_name("uv")
    login = {"UV_INDEX_PRIVATE_USERNAME": "corp", "UV_INDEX_PRIVATE_PASSWORD": ACCOUNTS["corp"]}
    done = project.run(str(uv), "lock", "--python", sys.executable, **login)
    assert done.returncode == 0, done.stderr


def test_a_guarded_build_says_that_it_has_no_login(attempt, new_index):
    """Neither by a login in the environment nor by the layer of an earlier build, nor by what that left."""
    tried = attempt(new_index.url)
    in_the_shell(tried, new_index, PASSWORDS["plain"])
    assert tried.build().code == 0, tried.log
    override = tried.project.path / "compose.override.yaml"
    override.write_text("services: {app: {build: {network: host}}}\n")
    files = f"compose.guarded.yaml{os.pathsep}{override}"

    tried.environment["COMPOSE_FILE"] = files
    tried.build()

    assert tried.code != 0
    complaint = "asks for an account and a password: builds of compose.guarded.yaml have no login"
    assert [line.partition(f"({new_index.url}) ")[2] for line in tried.said()] == [
        f"{complaint}: for them, remove the packages of this index from pyproject.toml and uv.lock"
    ]


def test_an_index_that_is_down_is_named(attempt, tmp_path):
    with package_index(tmp_path / "down", {"in-house-package": "1.0"}, ACCOUNTS, content="down") as index:
        tried = attempt(index.url)
    in_the_shell(tried, index, PASSWORDS["special"])
    without_retries(tried.project)

    tried.build()

    assert tried.code != 0
    assert tried.said() == [
        f"the index 'private' in pyproject.toml ({index.url}) cannot be reached (Connection refused): "
        "check its URL, the server and the network (VPN)"
    ]
    assert not PASSWORDS["special"].is_in(tried.log.encode())


BAD_FILES = {
    "no pip.conf at all": ("PIP_CONF", b"http://corp:s3cr3t-Yxq7Zk2P@host/simple\n", "is not a pip.conf"),
    "a picture as pip.conf": ("PIP_CONF", b"\x89PNG\xff\xfe", "is not UTF-8"),
    "a raw slash in a password": (
        "PIP_CONF",
        b"[global]\nindex-url = http://corp:s3cr3t/Yxq7Zk2P@host/simple\n",
        "has an index URL that cannot be read: write special characters of the password as %XX",
    ),
}


@pytest.mark.parametrize(("setting", "content", "complaint"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_cannot_be_used_is_named_and_not_quoted(
    attempt, index, tmp_path, setting, content, complaint
):
    file = tmp_path / "file"
    file.write_bytes(content)
    tried = attempt(index.url)
    tried.environment[setting] = str(file)

    tried.build()

    assert tried.code != 0
    assert tried.said() == [f"the {setting} file {complaint}"]
    assert not PASSWORDS["plain"].is_in(tried.log.encode())


@pytest.mark.parametrize("target", ["deploy", pytest.param("dev", marks=pytest.mark.nightly)])
def test_no_other_image_has_the_password_of_the_old_argument(attempt, new_index, leaks, target):
    """In `make test` the runtime image of that argument, above, and a dev image: test_build_secrets.py."""
    tried = attempt(new_index.url)
    in_a_build_argument(tried, new_index, PASSWORDS[NASTIEST])
    tried.arguments += ["--target", target]

    tried.build()

    assert tried.code == 0, tried.log
    version = output("docker", "run", "--rm", "--entrypoint", "/opt/venv/bin/python", IMAGE, "-c", WHICH)
    assert version.decode().strip() == "1.0"
    found = places(tried.project, IMAGE, tried.log, tried.builds, PASSWORDS[NASTIEST], tried.own)
    note(leaks, f"{OLD}, {target}", found)
    assert {place for place, where in found.items() if where} == {HISTORY}, found


IN_PIP_CONF = pytest.param("trusted-host in PIP_CONF", marks=pytest.mark.nightly)


@pytest.mark.parametrize("trust", ["CA_BUNDLE", "PYPI_TRUSTED_HOST", IN_PIP_CONF, ""])
def test_an_index_with_a_certificate_of_its_own(attempt, tmp_path, trust):
    password = PASSWORDS["special"]
    with package_index(tmp_path / "tls", {"in-house-package": "1.0"}, ACCOUNTS, tls=True) as index:
        tried = attempt(index.url)
        in_the_shell(tried, index, password)
        if trust == "CA_BUNDLE":
            bundle = tmp_path / "bundle.pem"
            known = os.environ.get("CA_BUNDLE")
            bundle.write_text((Path(known).read_text() if known else "") + index.authority.read_text())
            tried.environment[trust] = str(bundle)
        elif trust == "PYPI_TRUSTED_HOST":
            tried.environment[trust] = index.host
        elif trust:
            in_pip_conf(tried, index, password)

        tried.build()

    assert not password.is_in(tried.log.encode())
    if trust:
        assert tried.code == 0, tried.log
    else:
        assert tried.code != 0
        assert tried.said()[0].startswith(
            f"the certificate of the index 'private' in pyproject.toml ({index.url}) is not trusted"
        )
        assert "CA_BUNDLE" in tried.said()[0]


def test_pip_takes_a_package_from_the_private_index_alone(attempt, index):
    tried = attempt(index.url)
    in_the_shell(tried, index, PASSWORDS["special"])
    tried.arguments = ["--target", "uv", "--build-arg", f"PYPI_ACCOUNT={PASSWORDS['special'].account}"]
    tried.arguments += ["--secret", "id=pypi_password,env=PYPI_PASSWORD"]
    assert tried.build().code == 0, tried.log
    # The stage has pip, but not the project, and with-index only while its step runs.
    command = ["docker", "run", "--rm", "--network", "host", "--entrypoint", "/usr/bin/python3"]
    for name, target in {
        "pyproject.toml": "/code/pyproject.toml",
        "docker/with-index": "/with-index",
    }.items():
        command += ["--volume", f"{tried.project.path}/{name}:{target}:ro"]
    command += ["--env", "PYPI_ACCOUNT", "--env", "PYPI_PASSWORD", IMAGE, "-IB", "/with-index", "--private"]

    done = tried.project.run(*command, "/opt/uv/bin/pip", "download", "in-house-tool", **tried.environment)
    public = tried.project.run(*command, "/opt/uv/bin/pip", "download", "packaging", **tried.environment)

    assert "Successfully downloaded in-house-tool" in done.stdout, done.stderr
    assert public.returncode != 0
    assert not PASSWORDS["special"].is_in(
        (done.stdout + done.stderr + public.stdout + public.stderr).encode()
    )


def test_a_file_that_the_container_s_user_may_not_read_is_named(attempt, index):
    tried = attempt(index.url)
    in_netrc(tried, index, PASSWORDS["plain"])
    assert tried.build().code == 0, tried.log

    done = tried.run("app", "uv", "lock", USER_ID="7777")

    assert done.returncode == 66
    assert "with-index: the NETRC file cannot be read by uid 7777" in done.stderr


# In `make test` tests/devcontainer/test_devcontainer.py has the dev image of another environment.
DEV_IMAGE = pytest.param(".devcontainer/compose.yaml", marks=pytest.mark.nightly, id="dev")


@pytest.mark.parametrize("file", [pytest.param("compose.yaml", id="runtime"), DEV_IMAGE])
def test_it_works_beside_nvidia_s_own_pytorch(ngc_image, index, tmp_path, file):
    """The environment whose steps differ from the others'."""
    answers = {
        "environment": "training-ngc",
        "private_index": index.url,
        "private_packages": "in-house-package",
    }
    project = empty(generate(tmp_path, project="capy-index", **answers))
    settings = {**GOOD, "ACCELERATOR": "cpu", "BASE_IMAGE": ngc_image, "BUILDKIT_PROGRESS": "plain"}
    files = dict.fromkeys(["compose.yaml", file, "compose.override.yaml"])
    compose = ["docker", "compose", *(word for name in files for word in ("--file", name))]
    code = f"import torch; {WHICH}"  # torch: it is not the image of another test

    built = project.run(*compose, "build", **settings)
    done = project.run(*compose, "run", "--rm", "app", "python", "-c", code, **settings)

    assert built.returncode == 0, built.stdout + built.stderr
    assert (done.returncode, done.stdout.split()[-1:]) == (0, ["1.0"]), done.stderr
    assert not PASSWORDS["plain"].is_in((built.stderr + done.stderr).encode())


def test_python_3_10_reads_pyproject_toml_with_debian_s_own_package(attempt, index):
    """In the stage `system`, from which all others come."""
    tried = attempt(index.url, cuda="cu12-py310")
    in_a_plain_build(tried, index, PASSWORDS["plain"])
    tried.arguments += ["--target", "system"]

    assert tried.build().code == 0, tried.log

    command = ["docker", "run", "--rm", "--entrypoint", "/usr/bin/python3", IMAGE, "-I", "-c", "import tomli"]
    assert tried.project.run(*command).returncode == 0
