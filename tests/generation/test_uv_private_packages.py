"""`uv` in the image with a private index: who gets the login, and which names come from there alone."""

from __future__ import annotations

import os

import pytest

from tests.support.uv_command import PATH, Uv


def test_the_doctor_which_imports_packages_does_not_get_the_password(bake, tmp_path):
    project = bake(private_index="https://pypi.example.com/simple")

    calls = Uv(project, tmp_path, doctor="exit 0").calls("sync", PYPI_PASSWORD="s3cr3t")

    login = f", with a login for {project.path}"
    assert calls == [f"sync --extra cpu --group dev, with the password{login}", "doctor --packages"]


def test_uv_and_with_index_have_no_module_of_the_same_name(bake):
    """Both folders are in sys.path, and the first one would win."""
    folders = bake(private_index="https://pypi.example.com/simple").path / "docker"

    modules = [{path.name for path in (folders / name).iterdir()} for name in ("uv", "with-index")]

    assert set.intersection(*modules) == {"__main__.py"}


NO_LOGIN = [
    *("run env", "--directory . run env", "--project . run env", "--color never run env", "-q run env"),
    *("--cache-dir add run env", "-q tool run x", "tool install x", "publish", "auth token x", "init"),
    *("python list", "format", "check", "self update", "--new-option x run env", "help add", ""),
]


def test_a_command_that_starts_other_programs_gets_no_login(bake, tmp_path):
    uv = Uv(bake(private_index="https://pypi.example.com/simple"), tmp_path)

    called = {typed: uv.calls(typed, PYPI_PASSWORD="s3cr3t") for typed in NO_LOGIN}

    said = {typed: [call.removesuffix(", not synced") for call in calls] for typed, calls in called.items()}
    assert said == {typed: [typed] for typed in NO_LOGIN}


def test_a_command_that_resolves_gets_the_login_of_its_project(bake, tmp_path):
    project = bake(private_index="https://pypi.example.com/simple")
    sub = project.path / "sub"
    sub.mkdir()
    (sub / "pyproject.toml").touch()
    uv = Uv(project, tmp_path)

    for typed in ("lock", "-q tree", "pip install numpy"):
        assert uv.calls(typed) == [f"{typed}, with a login for {project.path}"]
    for typed in ("--project sub lock", "--directory=sub pip list", "--directory . --project sub export"):
        assert uv.calls(typed) == [f"{typed}, with a login for {sub}"]
    assert uv.calls("lock", UV_PROJECT="sub") == [f"lock, with a login for {sub}"]


OWN = "In_House.Package"
HEADER = '# /// script\n# dependencies = ["numpy", "{}>1"]\n# ///\n'


PUBLIC = [
    *(f"pip install {name}" for name in ("in-house-package", OWN, f"{OWN}==1.0", f"{OWN}[extra]>=1,<2")),
    *(f"-q --project . pip install --upgrade numpy {name}" for name in (OWN, f"{OWN}~=1.0", f"{OWN};x")),
    *("pip install -r list.txt", "pip install -rlist.txt", "pip sync list.txt", "pip compile list.txt"),
    *("pip install --requirement=outer.in", f"pip install --index https://other.example.com {OWN}"),
    *(f"tool install {OWN}", f"tool run {OWN}@latest", f"tool run --from {OWN} x", f"tool upgrade {OWN}"),
    *(f"run --with {OWN} python", f"run --with=numpy,{OWN} python", f"run -w {OWN} x", "run script.py"),
    *("run --with-requirements list.txt x", "run --with-requirements absent.txt,list.txt x"),
    *("lock --script script.py", f"add --script=s.py {OWN}"),
    *(f"pip install -P{OWN} numpy", f"pip install --upgrade-package {OWN} numpy"),
    *(f"--preview-features format pip install -U {OWN}", f"--trusted-host h pip install {OWN}"),
    *(f"tool uvx {OWN}", f"run -qw {OWN} x", f"run -qw={OWN} x", f"-v pip install -Uw {OWN}"),
    *("pip install -vrtabs.txt", "pip install -r cr.txt", f"pip install -qP {OWN} numpy"),
    *("pip install -r tools/pyproject.toml", "pip install -r s.PY", f"pip --cert list install {OWN}"),
    *(f"tool install --with-executables-from={name} cowsay" for name in (OWN, f"helper,{OWN}")),
    *("run script.PY", "run --gui-script plain", "run -s plain", "run --script=plain"),
    *("run -qsplain", "run embedded.py", f"pip install helper,{OWN}"),
]
# How a requirements file can name another one, and uv reads it.
INCLUDES = ("http://127.0.0.1/x", "file:///x", "file:x", "${REQS}/x", "'list.txt'", 'li"st.txt"')
INCLUDES += ("with space.txt", "list.txt#x", "in\\ ner", "\nlist.txt")
UNSEEN = [
    "pip install -r -",
    "pip install -r-",
    "pip install --requirement=pipe",
    "pip install -r /dev/stdin",
    "pip install --group x.toml:g",
    "pip sync -",
    *("pip install -r https://example.com/r.txt", "pip sync https://example.com/r.txt"),
    *("run https://example.com/script.py", "run --with x -q https://example.com/script.py", "run -"),
    *("run --with-requirements https://example.com/r.txt x", "tool run --with-requirements - x"),
    *(
        "lock --script https://example.com/script.py",
        "run --python 3 -",
        "pip install -r file:x",
        "pip sync File:x",
    ),
    *("--directory run run https://example.com/a.py", "run --project . https://example.com/a.py"),
    *("pip install -r utf-16.txt", "pip sync utf-16.txt", "pip install -r sub/setup.py"),
    *(f"pip install -r includes-{number}.txt" for number in range(len(INCLUDES))),
    *("pip install -r broken/pyproject.toml", "run broken.py"),
]
NOT_PUBLIC = [
    *("pip install numpy", "pip install in-house-package-2", "pip uninstall in-house-package"),
    *("pip install ./in-house-package", "pip install in-house-package@https://example.com/a.whl"),
    *("pip show in-house-package", "pip install torch", "tool uninstall in-house-package"),
    *("run in-house-package", "run python -m in-house-package", "run own.py", "add in-house-package"),
    *("run script-of-mine.py https://example.com/a", "run python -", "run -m http.server -", "run -- x -"),
    *("pip install https://example.com/a.whl", f"run python -c {'x' * 300}", "run python list.txt"),
    *("pip install -r pyproject.toml", "tool run cowsay in-house-package", "pip install ./a.whl"),
    *("run --no-sync uvicorn main:app", "run train.py --with in-house-package"),
    "--directory run run x.py -",
    *("sync --upgrade-package in-house-package", "remove in-house-package", "pip install -r absent.txt"),
    "pip install --index-url https://pypi.example.com/simple/ in-house-package",
    "pip install --index private=https://pypi.example.com/simple in-house-package",
]


@pytest.fixture
def own(bake, tmp_path):
    """docker/uv/ of a project with a private package, and files that name it."""
    project = bake(private_index="https://pypi.example.com/simple", private_packages="in-house-package")
    own = HEADER.format(OWN)
    source = f'# [tool.uv.sources]\n# "{OWN}" = {{ index = "x" }}\n# ///\n'
    embedded = own.replace("# dep", "# a = '''\n# ///\n# '''\n# dep")
    files = {
        "list.txt": f"numpy\n{OWN} >= 1  # ours\n",
        "outer.in": "-r list.txt\n",
        "tabs.txt": f"{OWN}\t# ours\n",
        "cr.txt": "numpy\r--requirement=list.txt\t# ours",
        **dict.fromkeys(("script.py", "script.PY", "s.PY", "plain"), own),
        "embedded.py": embedded,
        "own.py": own.removesuffix("# ///\n") + source,
        "broken.py": own.replace("]", ""),
        "sub/setup.py": "",
        "a.whl": "\0",
        "tools/pyproject.toml": f"[project]\ndependencies = ['{OWN}']\n",
        "broken/pyproject.toml": "<<<<<<< HEAD\n",
        "run/x.py": "",
        **{f"includes-{number}.txt": f"numpy\n-r {name}\n" for number, name in enumerate(INCLUDES)},
    }
    for name, text in files.items():
        (project.path / name).parent.mkdir(exist_ok=True)
        (project.path / name).write_text(text)
    (project.path / "utf-16.txt").write_text(f"{OWN}\n", encoding="utf-16")
    os.mkfifo(project.path / "pipe")
    return Uv(project, tmp_path)


def test_a_private_package_is_not_taken_from_the_public_index(own):
    for typed in PUBLIC:
        assert (typed, own.calls(typed), own.code) == (typed, [], 64)
        assert "(tool.uv.sources), and this would install a public one: uv add" in own.stderr


def test_what_cannot_be_checked_for_private_packages_is_refused(own):
    for typed in UNSEEN:
        assert (typed, own.calls(typed), own.code) == (typed, [], 64)
        assert "cannot be checked against tool.uv.sources" in own.stderr


def test_what_names_no_private_package_is_installed(own):
    for typed in NOT_PUBLIC:
        assert (typed, own.calls(typed) != [], own.code) == (typed, True, 0), own.stderr


def test_a_marker_may_contain_what_a_url_has(own):
    typed = [f'{OWN} ; python_version > "3" and "@" != "/"']

    assert own.project.run(*own.command("pip install"), *typed, **PATH).returncode == 64


@pytest.mark.parametrize(
    "source",
    ["3", "[]", "{ index = 'private', marker = 'x' }", "{ index = 3 }"],
    ids=["no table", "empty", "marker", "no index"],
)
def test_any_source_makes_a_package_a_private_one(own, source):
    pyproject = own.project.path / "pyproject.toml"
    before = 'in-house-package = { index = "private" }'
    assert before in pyproject.read_text()
    pyproject.write_text(pyproject.read_text().replace(before, f"in-house-package = {source}\nother = 3"))

    for typed in ("pip install in-house-package", "run script.py", "tool run other"):
        assert (own.calls(typed), own.code) == ([], 64)


INVALID = {"conflict": "<<<<<<< HEAD\n", "no table": "[tool.uv]\nsources = 3\n", "bytes": "\udcff"}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_an_invalid_pyproject_toml_lets_nothing_in(own, text):
    """uv would warn, and go on without its sources."""
    pyproject = own.project.path / "pyproject.toml"
    pyproject.write_text(text, errors="surrogateescape")

    for typed in ("pip install x", "tool install x", "run a.py", "lock --script a.py"):
        assert (typed, own.calls(typed), own.code) == (typed, [], 64)
        assert f"uv: {pyproject} is invalid" in own.stderr
    for typed in ("pip list", "lock", "sync"):  # uv itself says what is wrong
        assert own.calls(typed)


def test_the_image_s_own_private_packages_stay_private(own, tmp_path):
    """Code in the container can write to the project's pyproject.toml."""
    built = tmp_path / "built.toml"
    (own.project.path / "pyproject.toml").rename(built)
    (own.project.path / "pyproject.toml").write_text("[project]\n")
    reader = own.project.path / "docker/with-index/projects.py"
    reader.write_text(reader.read_text().replace("/opt/pyproject.toml", str(built)))

    assert (own.calls("pip install in-house-package"), own.code) == ([], 64)


def test_a_pyproject_toml_of_windows_has_sources_too(own):
    pyproject = own.project.path / "pyproject.toml"
    pyproject.write_text(pyproject.read_text(), encoding="utf-8-sig", newline="\r\n")

    assert "is a private package" in (own.calls("pip install in-house-package"), own.stderr)[1]
