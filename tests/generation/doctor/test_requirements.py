"""The check of the requirements of each package."""

import itertools
import sys

import pytest
from doctor import requirement, shared_objects
from doctor.version import compare
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet


def test_requirements_that_are_met_are_fine(machine):
    machine.dist("tables", "2.1.0", "Columns.Fast[sql] (>=1.0,<2)", 'missing; sys_platform == "win32"')
    machine.dist("columns_fast", "1.9.post1", "sqlite-plus; extra == 'sql'", "never; extra == 'docs'")
    machine.dist("sqlite-plus", "0.1")

    (finding,) = machine.finds("requirements")

    assert (finding.status, finding.found) == ("ok", "of 3 packages")


@pytest.mark.parametrize(
    ("asks", "has", "named"),
    [
        ("columns>=2", "1.9", "tables 2.1 requires columns>=2, but columns 1.9 is installed"),
        ("columns[sql]==1.*", "2.0", "tables 2.1 requires columns==1.*, but columns 2.0 is installed"),
        ("columns~=1.4.2", "1.5.0", "but columns 1.5.0 is installed"),
        ("columns", None, "tables 2.1 requires columns, but it is not installed"),
        ("columns; python_version >= '3.8'", None, "requires columns, but it is not installed"),
    ],
)
def test_a_requirement_that_is_not_met_is_named(machine, asks, has, named):
    machine.dist("tables", "2.1", asks)
    if has:
        machine.dist("columns", has)

    assert named in machine.problems("requirements")


def test_what_an_extra_asks_for_counts_once_the_extra_is_asked_for(machine):
    machine.dist("server", "1.0", "columns[sql]")
    machine.dist("columns", "1.0", 'sqlite-plus>=3; extra == "sql"')

    assert "columns 1.0 requires sqlite-plus>=3, but it is not installed" in machine.problems("requirements")


@pytest.mark.parametrize(
    ("asks", "installed", "remark"),
    [
        (
            "onnxruntime>=1.20",
            [("onnxruntime-gpu", "1.31.1")],
            "reader 3.0 requires onnxruntime>=1.20; this project has onnxruntime-gpu 1.31.1",
        ),
        (
            "opencv-contrib-python",
            [("opencv-python-headless", "4.13")],
            "reader 3.0 requires opencv-contrib-python; this project has opencv-python-headless 4.13",
        ),
        ("triton<3", [("triton", "3.5")], "reader 3.0 requires triton<3; this project has triton 3.5"),
        ("nvidia-nvtx==1", [], "reader 3.0 requires nvidia-nvtx==1; this project has no nvidia-nvtx"),
    ],
)
def test_what_the_line_decides_is_a_remark(machine, asks, installed, remark):
    machine.dist("reader", "3.0", asks)
    for name, version in installed:
        machine.dist(name, version)

    (finding,) = machine.finds("requirements")

    assert (finding.status, finding.found) == ("remark", remark)


def test_one_remark_has_all_of_them(machine):
    machine.dist("reader", "3.0", "onnxruntime")
    machine.dist("camera", "1.0", "opencv-python")

    assert len(machine.remarks("requirements")) == 1
    assert machine.remarks("requirements")[0].count(" requires ") == 2


@pytest.mark.parametrize(
    "text",
    [
        "[tool.uv]\noverride-dependencies = [\n  # why\n  'Columns>=2',\n]\n",
        "[tool.uv]\nexclude-dependencies = ['other', 'columns']\n",
        '[tool.uv]\noverride-dependencies = ["x[a]", "columns[sql]>=2"] \nenvironments = []\n',
    ],
)
def test_what_pyproject_toml_overrides_is_a_remark(machine, text):
    (machine.root / "pyproject.toml").write_text(text)
    machine.dist("tables", "2.1", "columns<2")
    machine.dist("columns", "2.4")

    assert machine.problems("requirements") == ""
    assert machine.remarks("requirements") == ["tables 2.1 requires columns<2; this project has columns 2.4"]


@pytest.mark.parametrize(
    "text",
    [
        "[[tool.uv.dependency-metadata]]\nname = 'Tables'\nrequires-dist = [\n  'x',\n]\n[x]\nname = 'y'\n",
        "[tool.uv]\ndependency-metadata = [\n  { name = \"tables\", version = '2.1' },\n]\n",
    ],
)
def test_metadata_that_the_owner_replaced_is_a_remark(machine, text):
    (machine.root / "pyproject.toml").write_text(text)
    machine.dist("tables", "2.1", "columns<2")
    machine.dist("columns", "2.4")
    machine.dist("y", "1.0", "columns<1")

    assert machine.problems("requirements").startswith("y 1.0 requires columns<1, but columns 2.4")
    assert machine.remarks("requirements") == ["tables 2.1 requires columns<2; this project has columns 2.4"]


def test_what_the_image_brings_is_no_problem(machine, monkeypatch):
    """NVIDIA's image has packages of its own, which are not what uv would choose."""
    monkeypatch.setattr(shared_objects, "VENV", machine.root / "venv")
    machine.dist("tables", "2.1", "columns<2")

    assert [finding.status for finding in machine.finds("requirements")] == ["skipped"]


def test_a_marker_that_is_not_understood_is_no_problem(machine):
    machine.dist("tables", "2.1", "columns; future_marker == 'x'", "rows; python_version ** '3'")

    assert machine.problems("requirements") == ""


MARKERS = [
    "x; python_version < '3.10'",
    "x; python_version >= '3.9' and sys_platform == 'linux'",
    "x; platform_machine in 'x86_64 aarch64' or os_name == 'nt'",
    "x; (extra == 'A_b' or extra == 'c') and platform_system != 'Windows'",
    "x; platform_python_implementation not in 'PyPy'",
    "x; python_full_version >= '3.9.1'",
    "x[a,b]<3,>=2 ; implementation_name == 'cpython'",
    "x (>=1.0)",
    "x @ file:///x.whl",
]


@pytest.mark.parametrize("line", MARKERS)
@pytest.mark.parametrize("extra", ["", "a-b", "c"])
def test_lines_are_read_as_packaging_reads_them(line, extra):
    ours, theirs = requirement.parse(line), Requirement(line)

    assert ours.name == theirs.name
    assert set(ours.extras) == theirs.extras
    assert ours.applies([extra]) == (not theirs.marker or theirs.marker.evaluate({"extra": extra}))


VERSIONS = ["1", "1.0", "1.0.1", "1.9", "2.0", "2.0rc1", "2.0a1", "2.0.dev1", "2.0.post1", "2.0+cpu"]
VERSIONS += ["2.1", "10.1", "2.14.0a0", "2.0rc1.dev2"]


@pytest.mark.parametrize("operator", ["==", "!=", ">=", "<=", ">", "<", "~="])
def test_versions_compare_as_packaging_compares_them(operator):
    for version, other in itertools.product(VERSIONS, [*VERSIONS, "2.*", "1.0.*"]):
        try:
            theirs = SpecifierSet(operator + other).contains(version, prereleases=True)
        except InvalidSpecifier:
            continue
        assert compare(version, operator, other) == theirs, f"{version} {operator} {other}"


def test_this_python_is_what_markers_mean():
    assert requirement.HERE["python_version"] == ".".join(map(str, sys.version_info[:2]))
