"""Which system package has a library: the doctor's table, and that of docs/packages.md."""

from __future__ import annotations

import pytest

from compatibility.system import RELEASES, table

from .conftest import system_packages


@pytest.mark.parametrize("release", RELEASES)
def test_the_doctor_and_docs_packages_md_name_the_same_packages(release, monkeypatch, tmp_path):
    """Two tables, since a project has the standard library alone; a library in both has one package."""
    file = tmp_path / "os-release"
    file.write_text(f'ID=ubuntu\nVERSION_ID="{release}"\n')
    monkeypatch.setattr(system_packages, "OS_RELEASE", file)
    known = {name: table().package(name, release) for name in system_packages.PACKAGES}
    known = {name: package for name, package in known.items() if package}

    assert len(known) > 30
    assert {name: system_packages.apt_package(name) for name in known} == known
