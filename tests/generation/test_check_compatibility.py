"""`make check-compatibility` tells what the index no longer has; the tests' own index is on the loopback."""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path

import pytest
import requests

from capy_template.matrix import FRAMEWORKS, MACHINES, cuda_of, load
from compatibility import check, full
from compatibility.facts import TOGETHER
from compatibility.index import CannotCheck, Index, pip_settings, users_index
from compatibility.processors import CUDNN_CODE
from tests.support.fake_index import LINUX, PADDING, FakeIndex, add_pinned, agreeing_with, served

pytestmark = pytest.mark.usefixtures("nobodys_settings")


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> dict:
    """The matrix with its first line and the environment `full` alone; a test may change facts."""
    data = copy.deepcopy(load())
    data["environments"] = {"full": data["environments"]["full"]}
    name = next(iter(data["lines"]))
    data["lines"] = {name: data["lines"][name]}
    monkeypatch.setattr(check, "load", lambda: data)
    return data


@pytest.fixture
def index(matrix: dict, monkeypatch: pytest.MonkeyPatch):
    """An index that agrees with it; pip, which takes a while to answer, is not asked for its address."""
    with served(agreeing_with(matrix)) as fake:
        monkeypatch.setattr("compatibility.index.pip_settings", lambda: {"index-url": fake.url})
        yield fake


@pytest.fixture
def facts(matrix: dict) -> dict:
    """The values of the line."""
    (line,) = matrix["lines"].values()
    return {name: fact["value"] for name, fact in line.items() if isinstance(fact, dict)}


def changes(matrix: dict) -> dict[str, str]:
    """Return what the index says else, by fact."""
    return {item.fact: item.change for item in check.check(users_index(), matrix) if item.change}


@pytest.fixture(scope="module")
def findings() -> list[check.Finding]:
    """What an index that has every line is found to say."""
    with served(agreeing_with(load())) as fake:
        return list(check.check(Index(fake.url, requests.Session()), load()))


def test_an_index_that_has_every_line_is_found_to_agree(findings):
    assert {(item.line, item.fact): item.change for item in findings if item.change} == {}
    assert {item.line for item in findings} == set(load()["lines"])


def test_every_environment_of_every_line_is_asked_about_on_each_processor(findings):
    asked = [item for item in findings if re.search(", (x86_64|aarch64)$", item.fact)]
    cells = {(item.line, item.fact): item.value for item in asked}
    refused = {cell for cell, value in cells.items() if value.startswith("refused: ")}
    without = {cell for cell, value in cells.items() if value.startswith("without a GPU: ")}

    lines, environments = load()["lines"], load()["environments"]
    with_wheels = [name for name, use in environments.items() if use["cuda_from"] != "ngc"]
    assert set(cells) == {
        (line, f"{name}, {machine}") for line in lines for name in environments for machine in MACHINES
    }
    assert refused == {
        (line, f"{name}, {machine}")
        for line, entry in lines.items()
        for name in set(environments) - set(with_wheels)
        for machine in MACHINES
        if not entry["ngc_image"]["value"]
    }
    # PyTorch and ONNX Runtime for CUDA 12 have no wheel for Arm
    assert without == {
        (line, f"{name}, aarch64") for line in lines for name in with_wheels if cuda_of(load(), line) == 12
    }


def test_every_package_of_the_matrix_is_asked_about(matrix, index):
    asked = {item.fact for item in check.check(users_index(), matrix)}

    assert {name for use in matrix["environments"].values() for name in use["packages"]} <= asked


def test_no_wheel_is_downloaded_whole(matrix, index):
    assert changes(matrix) == {}

    assert 0 < max(index.sent.values()) < PADDING


def test_a_version_that_vanished_is_named_with_its_line_and_fact(matrix, index, facts, capsys):
    index.remove("onnxruntime-gpu", facts["onnxruntime"])

    code = check.main([])

    (line,) = matrix["lines"]
    said = capsys.readouterr()
    assert code == 1
    assert "gives no answer" not in said.err
    wanted = f"check-compatibility: {line}: onnxruntime is {facts['onnxruntime']} in the matrix, but "
    assert f"{wanted}onnxruntime-gpu {facts['onnxruntime']} is no longer on the index\n" in said.err
    assert "torch_cuda" in said.out


def test_a_package_that_vanished_altogether_is_no_missing_index(matrix, index):
    del index.wheels["opencv-python-headless"]

    found = changes(matrix)

    assert "has no wheel" in found["opencv"]


def test_a_yanked_version_is_found_with_the_reason(matrix, index, facts):
    index.yanked = set(index.wheels["torch"])

    found = changes(matrix)

    assert found["torch"] == f"torch {facts['torch']} was yanked: it was bad"


def test_a_version_of_a_range_that_was_yanked_does_not_count(matrix, index):
    index.yanked = set(index.wheels["numpy"])

    found = changes(matrix)

    assert "has no wheel" in found["numpy"]


def test_a_version_outside_of_a_range_does_not_count(matrix, index):
    del index.wheels["scikit-learn"]
    index.add("scikit-learn", "0.1")

    found = changes(matrix)

    assert "has no wheel" in found["scikit_learn"]


def test_a_wheel_that_asks_for_a_newer_python_does_not_serve(matrix, index):
    index.pythons = dict.fromkeys(index.wheels["onnx"], ">=3.99")

    found = changes(matrix)

    assert "has no wheel" in found["onnx"]


@pytest.mark.parametrize(
    ("change", "fact", "complaint"),
    [
        ({"built_for": "99.1"}, "cuda", "onnxruntime-gpu was built for CUDA 99.1"),
        ({"torch_cuda": "99.1"}, "torch_cuda", "torch was built for CUDA 99.1"),
        ({"torch_needs": "nvidia-cudnn-cu99==9.9.9.9"}, "torch_cudnn", "nvidia-cudnn-cu99==9.9.9.9"),
        ({"torch_needs": "numpy"}, "torch_cudnn", "torch requires no cuDNN"),
        (
            {"cuda_extra": ["nvidia-cuda-nvrtc-cu99~=99.0"]},
            "cuda",
            "[cuda] requires nvidia-cuda-nvrtc-cu99~=99.0",
        ),
        ({"cuda_extra": ["nvidia-cuda-nvrtc~=99.0"]}, "cuda", "[cuda] requires nvidia-cuda-nvrtc~=99.0"),
        ({"cuda_extra": ["nvidia-cuda-nvrtc"]}, "cuda", "[cuda] requires nvidia-cuda-nvrtc"),
        ({"extra": "nvidia-cudnn-cu99"}, "cudnn", "onnxruntime-gpu[cudnn] requires nvidia-cudnn-cu99"),
        ({"extra": "numpy"}, "cudnn", "requires no package like nvidia-cudnn"),
        ({"vision_for": "9.9.9"}, "torchvision", "requires torch==9.9.9"),
    ],
    ids=[
        "onnxruntime moved to another CUDA",
        "torch moved to another CUDA",
        "torch moved to another cuDNN",
        "torch brings no cuDNN",
        "the extra for CUDA moved to packages of another",
        "the extra for CUDA moved to a version of another",
        "the extra for CUDA requires any version",
        "the extra for cuDNN moved to another CUDA",
        "the extra for cuDNN lost its package",
        "torchvision moved to another PyTorch",
    ],
)
def test_a_moved_framework_is_found(matrix, index, facts, change, fact, complaint):
    index.add("nvidia-cudnn-cu99", "9.9.9.9")
    add_pinned(index, facts, **change)

    found = changes(matrix)

    assert complaint in found[fact]


def other_code(facts: dict, framework: str, machine: str, code: list[str]) -> dict:
    """Return the change of an index whose wheel for a processor has code for other GPUs."""
    fact = f"{framework}_architectures"
    return {fact: {**facts[fact], machine: code}}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("framework", ["onnxruntime", "torch"])
def test_code_for_other_gpus_is_found_for_each_processor(matrix, index, facts, framework, machine):
    add_pinned(index, facts, **other_code(facts, framework, machine, ["9.0", "12.0a", "12.0+PTX"]))

    found = changes(matrix)[f"{framework}_architectures"]

    assert f"on {machine} " in found
    assert found.endswith("has code for 9.0, 12.0+PTX, 12.0a")


def test_a_cudnn_without_code_for_a_gpu_of_the_line_is_found(matrix, index, facts):
    index.wheels[f"nvidia-cudnn-cu{facts['cuda']}"].clear()
    add_pinned(index, facts, cudnn_code=["8.0", "9.0a", "10.0", "12.0+PTX"])

    found = changes(matrix)[CUDNN_CODE]

    assert f"nvidia-cudnn-cu{facts['cuda']} {facts['torch_cudnn']} has no code for 7.5" in found


@pytest.mark.parametrize(("framework", "fact"), [("onnxruntime", "onnxruntime"), ("torch", "torch_cuda")])
def test_a_build_for_a_gpu_that_arm_lost_is_found(matrix, index, facts, framework, fact):
    for name in ("onnxruntime-gpu", "torch"):
        kept = {file for file in index.wheels[name] if "aarch64" not in file}
        index.wheels[name] = {file: index.wheels[name][file] for file in kept}
    add_pinned(index, facts, **other_code(facts, framework, "aarch64", []))

    found = changes(matrix)

    assert "aarch64" in found[fact]
    assert "aarch64" in found[f"{framework}_architectures"]


def test_a_build_for_a_gpu_that_arm_got_is_found(matrix, index, facts):
    (line,) = matrix["lines"].values()
    for framework in ("onnxruntime", "torch"):
        line[f"{framework}_architectures"]["value"] = {**facts[f"{framework}_architectures"], "aarch64": []}

    found = changes(matrix)

    assert "on aarch64 onnxruntime-gpu has code for" in found["onnxruntime_architectures"]
    assert "torch was built for CUDA 13.0 on aarch64" in found["torch_cuda"]


def test_a_newer_c_library_is_found(matrix, index, facts):
    index.wheels["onnxruntime-gpu"].clear()
    add_pinned(index, facts, glibc={**facts["glibc"], "aarch64": "2.38"})

    assert changes(matrix)["glibc"] == "on aarch64 it is 2.38, for onnxruntime-gpu"


def test_an_environment_that_cannot_be_resolved_on_one_processor_is_found(matrix, index, facts):
    index.remove("onnx", "1.20")
    index.add("onnx", "1.20", f"cp312-cp312-{LINUX}")

    found = changes(matrix)

    assert "full, x86_64" not in found
    assert "onnx" in found["full, aarch64"]


def test_a_second_cudnn_is_found(matrix, index, facts):
    index.add("nvidia-cudnn-cu99", "9.9.9.9")
    add_pinned(index, facts, torch_needs="nvidia-cudnn-cu99==9.9.9.9")

    found = changes(matrix)

    assert f"nvidia-cudnn-cu{facts['cuda']}=={facts['torch_cudnn']} and nvidia-cudnn-cu99" in found[TOGETHER]


def test_packages_that_cannot_be_installed_together_are_found(matrix, index, facts):
    add_pinned(index, facts, torch_needs=f"nvidia-cudnn-cu{facts['cuda']}==8.0.0.0")

    found = changes(matrix)

    assert "No solution found" in found[TOGETHER]


def test_a_new_major_version_is_found_before_a_first_build_takes_it(matrix, index, facts):
    index.add("numpy", "99.0")

    assert "a first build takes numpy 99.0, a new major version" in changes(matrix)[TOGETHER]


def test_a_missing_wheel_for_the_python_of_the_line_is_found(matrix, index, facts):
    index.remove("onnxruntime", facts["onnxruntime"], tag=facts["python"].replace("3.", "cp3"))

    found = changes(matrix)

    assert (
        f"onnxruntime {facts['onnxruntime']} has no wheel for Python {facts['python']}"
        in found["onnxruntime"]
    )


def test_a_wheel_for_another_machine_does_not_serve(matrix, index, facts):
    index.wheels["torch"] = {
        name.replace("x86_64", "aarch64"): data for name, data in index.wheels["torch"].items()
    }

    found = changes(matrix)

    assert "has no wheel" in found["torch"]


def test_a_wheel_for_a_newer_c_library_does_not_serve(matrix, index, facts):
    newer = LINUX.replace("2_28", "2_99")
    index.wheels["torch"] = {name.replace(LINUX, newer): data for name, data in index.wheels["torch"].items()}

    found = changes(matrix)

    assert "has no wheel" in found["torch"]


def test_a_lowest_python_that_is_too_low_is_found(matrix, index, facts):
    index.remove("torch", facts["torch"], tag=facts["lowest_python"].replace("3.", "cp3"))

    found = changes(matrix)

    assert (
        f"(torch {facts['torch']} has no wheel for Python {facts['lowest_python']})" in found["lowest_python"]
    )


def test_a_lowest_python_that_could_be_lower_is_found(matrix, index, facts):
    (line,) = matrix["lines"].values()
    line["lowest_python"]["value"] = facts["python"]

    found = changes(matrix)

    lowest = facts["lowest_python"]
    assert found["lowest_python"] == f"it is {lowest} (every package has a wheel for {lowest})"


def test_a_highest_python_that_could_be_higher_is_found(matrix, index, facts):
    (line,) = matrix["lines"].values()
    line["highest_python"]["value"] = facts["python"]

    minor = int(facts["python"].split(".")[1]) + 1
    assert changes(matrix)["highest_python"] == f"every package has a wheel for 3.{minor}"


def test_a_highest_python_that_is_too_high_is_found(matrix, index, facts):
    index.remove("torchvision", facts["torchvision"], tag=facts["highest_python"].replace("3.", "cp3"))

    assert "there is no longer every wheel" in changes(matrix)["highest_python"]


def test_an_index_that_is_not_there_is_one_line(matrix, monkeypatch, capsys):
    with served(FakeIndex()) as fake:
        url = fake.url
    monkeypatch.setenv("PIP_INDEX_URL", url)

    code = check.main([])

    lines = [line for line in capsys.readouterr().err.splitlines() if "asking" not in line]
    assert code == 1
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"check-compatibility: the package index {url} gives no answer: ")


@pytest.mark.parametrize("status", [401, 403, 500])
def test_an_index_that_refuses_is_not_an_empty_one(matrix, index, status):
    index.status = status

    with pytest.raises(CannotCheck, match=str(status)):
        changes(matrix)


def test_an_index_that_fails_while_packages_are_resolved_is_no_conflict(matrix, index, facts):
    index.broken = {f"nvidia-cudnn-cu{facts['cuda']}"}

    with pytest.raises(CannotCheck, match="500"):
        changes(matrix)


def test_an_index_that_sends_no_parts_of_files_is_said(matrix, index):
    index.ranges = False

    with pytest.raises(CannotCheck, match="range"):
        changes(matrix)


def test_a_proxy_that_sends_something_else_as_a_part_is_one_line(matrix, index, capsys):
    index.part = b"<html>Access denied</html>"

    code = check.main([])

    [line] = [line for line in capsys.readouterr().err.splitlines() if "asking" not in line]
    assert code == 1
    assert re.fullmatch(r"check-compatibility: \S+\.whl cannot be read from the index: \S.*", line)


def test_no_password_is_shown(matrix, index, monkeypatch, capsys):
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url.replace("//", "//me:s3cret@"))
    index.status = 403

    code = check.main([])

    said = capsys.readouterr()
    assert code == 1
    assert "s3cret" not in said.out + said.err


def test_the_index_of_uv_is_asked_before_that_of_pip(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")

    assert users_index().url == "https://uv.example/simple"


def test_the_proxy_and_the_certificates_of_pip_are_used(monkeypatch, tmp_path):
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nproxy = http://proxy.example:3128\ncert = /etc/a.pem\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_CERT", "/etc/b.pem")

    session = users_index().session

    assert session.proxies["https"] == "http://proxy.example:3128"
    assert session.verify == pip_settings()["cert"] == "/etc/b.pem"


def test_a_full_check_of_a_line_that_there_is_not_names_those_that_are(capsys):
    code = check.main(["--full", "cu99"])

    said = capsys.readouterr().err
    assert code == 1
    assert said == f"check-compatibility: there is no line cu99: {', '.join(load()['lines'])}\n"


def test_libraries_from_outside_of_the_packages_are_found(tmp_path):
    inside = f"onnxruntime: libcudnn.so.9 => {tmp_path}/lib/libcudnn.so.9"
    outside = "torch: libcudart.so.13 => /usr/local/cuda/lib64/libcudart.so.13"

    found = full.strays([{"check": "libraries", "details": [inside, outside]}], tmp_path)

    assert found == ["torch uses /usr/local/cuda/lib64/libcudart.so.13, which is no package's"]


def test_a_doctor_that_found_no_library_of_a_framework_is_no_proof(tmp_path):
    details = [f"torch: libcudnn.so.9 => {tmp_path}/lib/libcudnn.so.9"]

    found = full.strays([{"check": "libraries", "details": details}], tmp_path)

    assert found == ["the doctor found no CUDA library of onnxruntime"]


def test_architectures_are_read_as_the_matrix_writes_them():
    found = full.architectures_in("sm_75 sm_100 compute_120\nELF file 1: x.5.sm_90a.cubin")

    assert found == ["7.5", "10.0", "12.0+PTX", "9.0a"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_package_that_has_other_gpu_code_than_the_matrix_is_found(framework, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(full.platform, "machine", lambda: "x86_64")
    found = {}
    for line, facts in load()["lines"].items():
        listed = {name: facts[f"{name}_architectures"]["value"]["x86_64"] for name in FRAMEWORKS}
        for change in ([], ["99.0a"]):
            for name in FRAMEWORKS:
                these = [*listed[name][len(change) :], *change] if name == framework else listed[name]
                monkeypatch.setattr(full, f"{name}_architectures", lambda *_, these=these: these)
            found[line, bool(change)] = full.architectures(line, tmp_path, tmp_path, print)

    for line, facts in load()["lines"].items():
        lost = facts[f"{framework}_architectures"]["value"]["x86_64"][0]
        assert found[line, False] == []
        assert found[line, True] == [
            f"{framework}_architectures: the package has also 99.0a, and lacks {lost}"
        ]


def test_a_library_that_names_what_the_image_leaves_out_is_found(tmp_path):
    packages = tmp_path / "lib/python3.12/site-packages"
    packages.mkdir(parents=True)
    for name, content in {
        "libnvrtc.alt.so.13": b"\x7fELF libnvrtc.alt.so.13",
        "libtorch.so": b"\x7fELF libnvrtc.so.13",
        "libcudnn_engines.so.9": b"\x7fELF libnvrtc.alt.so.13",
        "empty.so": b"",
    }.items():
        (packages / name).write_bytes(content)

    found = full.users_of_what_is_left_out(tmp_path)

    assert found == [
        "lib/python3.12/site-packages/libcudnn_engines.so.9 names *.alt.so, which the image lacks"
    ]


def test_the_full_variant_names_what_the_doctor_found(bake):
    """In this environment, which has none of a project's packages."""
    project = bake(environment="full")

    problems = full.doctor(project.path, Path(sys.prefix))

    assert any("packages: torch is not installed" in problem for problem in problems)
