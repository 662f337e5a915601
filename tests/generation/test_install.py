"""The tools of this repository: installed by uv as pip would, from a lock file with hashes."""

from __future__ import annotations

import pytest

from tests.conftest import TEMPLATE
from tools.install import UV_VARIABLES, pin, pip_settings, uv_environment

LOCK = (TEMPLATE / "requirements.lock").read_text()


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    for name, variable in UV_VARIABLES.items():
        monkeypatch.delenv(f"PIP_{name.replace('-', '_').upper()}", raising=False)
        monkeypatch.delenv(variable, raising=False)


def test_the_settings_of_pip_reach_uv(tmp_path):
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://pip.example/simple\ncert = /etc/ca.pem\n"
        "proxy = http://proxy.example:3128\ntrusted-host = pip.example\n"
        "find-links = /wheels\n  /more\nextra-index-url = https://a.example\n  https://b.example\n"
    )

    environment = uv_environment(pip_settings())

    assert {name: environment[name] for name in UV_VARIABLES.values()} == {
        "UV_DEFAULT_INDEX": "https://pip.example/simple",
        "UV_INDEX": "https://a.example https://b.example",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "pip.example",
        "ALL_PROXY": "http://proxy.example:3128",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }


@pytest.mark.parametrize("first", [True, False])
def test_of_two_files_the_one_that_pip_takes_counts(monkeypatch, tmp_path, first):
    """`pip config list` sorts by their names; pip takes PIP_CONFIG_FILE before the file for all users."""
    files = [tmp_path / "a/pip/pip.conf", tmp_path / "b/pip/pip.conf"]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text(f"[global]\nproxy = http://{file.parent.parent.name}:3128\n")
    chosen, everybodys = files if first else reversed(files)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(chosen))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(everybodys.parent.parent))

    assert pip_settings()["proxy"] == f"http://{chosen.parent.parent.name}:3128"


def test_a_variable_of_uv_wins_over_a_setting_of_pip(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")

    assert uv_environment(pip_settings())["UV_DEFAULT_INDEX"] == "https://uv.example/simple"


def test_pip_brings_uv_alone_and_with_its_hashes():
    first, *others = pin("uv", LOCK).splitlines()

    assert first.startswith("uv==")
    assert others
    assert all(line.startswith("    --hash=sha256:") for line in others)


def test_the_lock_file_names_no_index():
    assert "://" not in LOCK
