"""The check of every shared object: what is missing, and whether a package stops without it."""

import pytest
from doctor import shared_objects, system_packages

from tests.generation.doctor.elf_file import elf


def test_a_healthy_environment_has_no_finding(machine):
    machine.prints("ldconfig", "\tlibGL.so.1 (libc6,x86-64) => /usr/lib/libGL.so.1\n")
    machine.module("drawing")
    machine.wheel(
        *("drawing", "1.0"),
        files={
            "drawing/_draw.cpython-312-x86_64-linux-gnu.so": elf(
                "libline-1a2b.so.3", "libGL.so.1", module="_draw"
            ),
            "drawing.libs/libline-1a2b.so.3": elf(soname="libline-1a2b.so.3"),
        },
    )

    (finding,) = machine.finds("shared-objects")

    assert (finding.status, finding.found) == ("ok", "2 files, 1 packages")


@pytest.mark.parametrize(
    ("release", "version", "library", "package"),
    [
        ("debian", "12", "libXfixes.so.3", "libxfixes3"),
        ("ubuntu", "22.04", "libpulse.so.0", "libpulse0"),
        ("ubuntu", "22.04", "libgobject-2.0.so.0", "libglib2.0-0"),
        ("ubuntu", "24.04", "libgobject-2.0.so.0", "libglib2.0-0t64"),
        ("debian", "13", "libcups.so.2", "libcups2t64"),
        ("ubuntu", "24.04", "libpython3.12.so.1.0", "libpython3.12t64"),
        ("debian", "12", "libswresample.so.4", "ffmpeg"),
        ("debian", "12", "libturbojpeg.so.0", "libturbojpeg0"),
        ("ubuntu", "24.04", "libturbojpeg.so.0", "libturbojpeg"),
    ],
)
def test_a_module_without_its_library_is_named_with_the_system_package(
    machine, release, version, library, package
):
    machine.release(release, version)
    machine.package_that_fails("viewer", library)
    machine.wheel("viewer-headed", "2.1", files={"viewer/_show.abi3.so": elf(library, module="_show")})

    problems = machine.problems("shared-objects")

    assert f"{library} is missing" in problems
    assert "viewer-headed 2.1 (viewer/_show.abi3.so) needs it | import viewer fails" in problems
    assert problems.endswith(f"| add {package} to docker/apt-packages.txt; docker compose build")


def test_a_library_that_a_library_of_the_module_needs_is_named(machine):
    machine.package_that_fails("scan", "libhard.so.9")
    machine.wheel(
        *("scan", "1.0"),
        files={
            "scan/_scan.so": elf("libsoft.so.1", module="_scan", runpath="$ORIGIN/lib"),
            "scan/lib/libsoft.so.1": elf("libhard.so.9"),
        },
    )

    problems = machine.problems("shared-objects")

    assert "libhard.so.9 is missing" in problems
    assert "add the package that has libhard.so.9 to docker/apt-packages.txt" in problems


def test_a_plugin_may_lack_its_library(machine):
    machine.module("database")
    machine.wheel(
        *("database", "1.0"),
        files={
            "database/_core.so": elf(module="_core"),
            "database/plugins/libsqloracle.so": elf("libclntsh.so.23.1", "libGL.so.1"),
        },
    )

    assert [finding.status for finding in machine.finds("shared-objects")] == ["ok"]


def test_a_module_that_its_package_does_without_is_a_remark_where_the_package_is_known(machine):
    machine.module("widgets")
    machine.wheel(
        *("widgets", "1.0"),
        files={
            "widgets/audio.abi3.so": elf("libasound.so.2", module="audio"),
            "widgets/pool.abi3.so": elf("libunheard.so.4", module="pool"),
        },
    )

    assert machine.problems("shared-objects") == ""
    assert machine.remarks("shared-objects") == [
        "widgets 1.0 (widgets/audio.abi3.so) needs libasound.so.2, which is missing: if you use that part, "
        "add libasound2 to docker/apt-packages.txt; docker compose build"
    ]


def test_libraries_of_the_driver_are_never_missing(machine):
    machine.package_that_fails("codec", "libnvcuvid.so.1")
    libraries = ("libcuda.so.1", "libnvcuvid.so.1", "libnvoptix.so.1", "libEGL_nvidia.so.0")
    machine.wheel("codec", "1.0", files={"codec/_nv.so": elf(*libraries, module="_nv")})

    assert machine.problems("shared-objects") == ""


def test_a_library_in_the_folder_that_a_file_names_is_there(machine):
    (machine.root / "opt").mkdir()
    (machine.root / "opt/libown.so.1").write_bytes(elf())
    machine.package_that_fails("own", "libown.so.1")
    machine.wheel(
        "own", "1.0", files={"own/_x.so": elf("libown.so.1", runpath=f"{machine.root}/opt", module="_x")}
    )

    assert machine.problems("shared-objects") == ""


def test_a_library_in_ld_library_path_is_there(machine):
    (machine.root / "libown.so.1").write_bytes(elf())
    machine.monkeypatch.setenv("LD_LIBRARY_PATH", str(machine.root))
    machine.package_that_fails("own", "libown.so.1")
    machine.wheel("own", "1.0", files={"own/_x.so": elf("libown.so.1", module="_x")})

    assert machine.problems("shared-objects") == ""


@pytest.mark.parametrize(("requires", "missing"), [((), True), (("mesa-in-a-wheel>=1",), False)])
def test_a_stranger_s_copy_of_a_system_library_does_not_count(machine, requires, missing):
    machine.package_that_fails("viewer", "libEGL.so.1")
    machine.wheel("viewer", "1.0", *requires, files={"viewer/_v.so": elf("libEGL.so.1", module="_v")})
    machine.wheel("mesa-in-a-wheel", "1.0", files={"mesa/libEGL.so.1": elf(soname="libEGL.so.1")})

    assert ("libEGL.so.1 is missing" in machine.problems("shared-objects")) == missing


def test_a_cudnn_of_another_major_is_named(machine):
    machine.package_that_fails("speech", "libcudnn.so.8")
    machine.wheel("speech", "1.0", files={"speech/_s.so": elf("libcudnn.so.8", module="_s")})

    problems = machine.problems("shared-objects")

    assert "libcudnn.so.8 is missing" in problems
    assert "write a release of speech for CUDA 13 and cuDNN 9 into pyproject.toml" in problems


@pytest.mark.parametrize("name", system_packages.OPENED_LATER)
def test_a_library_that_is_opened_by_name_is_named(machine, name):
    machine.dist(name, "1.0")

    problems = machine.problems("shared-objects")

    assert f"{name} 1.0 opens lib" in problems
    assert " to docker/apt-packages.txt; docker compose build" in problems
    assert "the package that has" not in problems


def test_a_library_that_is_opened_by_name_may_come_with_the_package(machine):
    machine.wheel("soundfile", "0.14", files={"_soundfile_data/libsndfile_x86_64.so": elf()})

    assert machine.problems("shared-objects") == ""


@pytest.mark.parametrize(
    ("name", "brings", "file"),
    [
        ("phonemizer", "espeakng-loader", "espeakng_loader/libespeak-ng.so"),
        ("pyusb", "libusb-package", "libusb_package/libusb-1.0.so"),
    ],
)
def test_a_library_that_is_opened_by_name_may_come_with_another_package(machine, name, brings, file):
    machine.dist(name, "1.0")
    machine.wheel(brings, "0.2", files={file: elf()})

    assert machine.problems("shared-objects") == ""


def test_a_library_that_is_opened_by_name_may_be_one_of_the_system(machine):
    machine.prints("ldconfig", "\tlibespeak.so.1 (libc6,x86-64) => /usr/lib/libespeak.so.1\n")
    machine.dist("phonemizer", "3.3")

    assert machine.problems("shared-objects") == ""


def test_what_another_package_brought_may_never_open_its_library(machine):
    machine.dist("cairocffi", "1.7")
    machine.dist("charts", "1.0", "cairocffi>=1.6; python_version >= '3.8'")

    assert machine.problems("shared-objects") == ""
    assert "cairocffi 1.7, required by charts, opens libcairo.so.2" in machine.remarks("shared-objects")[0]


@pytest.mark.parametrize(("fails", "named"), [(True, True), (False, False)])
def test_a_library_that_a_package_opens_by_ctypes_is_tried(machine, fails, named):
    """LightGBM has no extension module; its library needs libgomp."""
    if fails:
        machine.package_that_fails("boosting", "libgomp.so.1")
    else:
        machine.module("boosting")
    machine.wheel("boosting", "4.7", files={"boosting/lib/lib_boosting.so": elf("libgomp.so.1")})

    problems = machine.problems("shared-objects")

    assert ("import boosting fails | add libgomp1 to docker/apt-packages.txt" in problems) == named
    assert machine.remarks("shared-objects") == []


@pytest.mark.parametrize("needed", ["libclntsh.so.23.1", "libmlx5.so.1"])
def test_a_package_without_a_module_is_not_imported_for_a_library_that_no_system_package_has(machine, needed):
    machine.package_that_fails("boosting", needed)
    machine.wheel("boosting", "4.7", files={"boosting/lib/lib_boosting.so": elf(needed)})

    assert machine.problems("shared-objects") == ""


@pytest.mark.parametrize("file", ["nvidia/cublas/lib/libcublas.so.12", "nvidia/cu13/lib/libcublas.so.13"])
def test_the_cublas_that_ctranslate2_opens_is_a_remark_if_missing(machine, file):
    machine.dist("ctranslate2", "4.8.0")
    machine.wheel("nvidia-cublas", "1.0", files={file: elf(soname=file.rpartition("/")[2])})

    there = file.endswith("12")
    assert machine.problems("shared-objects") == ""
    assert machine.remarks("shared-objects", "cpu") == []
    remarks = machine.remarks("shared-objects")
    assert there == (remarks == [])
    assert there or "uv add --optional nvidia nvidia-cublas-cu12; then: docker" in remarks[0]


def test_two_packages_with_the_same_shared_object_are_named(machine):
    machine.wheel("vision", "1.0", files={"vision/_core.so": elf(module="_core")})
    machine.wheel("vision-nightly", "1.1.dev3", files={"vision/_core.so": elf(module="_core")})
    machine.dist("labels", "1.0", "vision-nightly")

    problems = machine.problems("shared-objects")

    assert "vision 1.0 and vision-nightly 1.1.dev3 both have vision/_core.so" in problems
    assert "vision-nightly is required by labels" in problems


def test_what_nvidias_image_lacks_on_purpose_is_not_named(machine, monkeypatch):
    monkeypatch.setattr(shared_objects, "VENV", machine.root / "venv")
    machine.package_that_fails("viewer", "libEGL.so.1")
    machine.wheel("viewer", "1.0", files={"viewer/_v.so": elf("libEGL.so.1", module="_v")})
    machine.dist("pyzbar", "0.1")

    assert machine.problems("shared-objects") == ""
