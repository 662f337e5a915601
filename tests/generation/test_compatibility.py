"""The matrix holds together, the questions are its own, and what is written from it is fresh."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from capy_template.matrix import FRAMEWORKS, MATRIX, OPENCVS, chosen, cuda_of, load, stack, unavailable
from compatibility import docs, facts, gpus
from compatibility.index import GLIBC_MINOR
from compatibility.system import RELEASES
from tests.conftest import TEMPLATE, run_cookiecutter
from tests.generation.conftest import contents

LINES = load()["lines"]
ENVIRONMENTS = load()["environments"]
QUESTIONS = json.loads((TEMPLATE / "cookiecutter.json").read_text())
SCHEMA = MATRIX.with_name("matrix.schema.json")
PAIRS = [(name, line) for name in ENVIRONMENTS for line in LINES]
SERVED = [pair for pair in PAIRS if not unavailable(load(), *pair)]
WITH_TORCH = [name for name, use in ENVIRONMENTS.items() if "torch" in use["packages"]]
UNSERVED = [pair for pair in PAIRS if unavailable(load(), *pair)]

# A fault, made in the first line or in the whole, and a word of the schema's complaint.
FAULTS: dict[str, Callable[[dict, dict], object]] = {
    "a fact that there is not": lambda matrix, line: line.update(cudn=line["cudnn"]),
    "a missing fact": lambda matrix, line: line.pop("torch"),
    "a fact without a source": lambda matrix, line: line["torch"].pop("source"),
    "a fact without a date": lambda matrix, line: line["torch"].pop("date"),
    "a fact with something else": lambda matrix, line: line["torch"].update(note="x"),
    "a date that is none": lambda matrix, line: line["torch"].update(date="yesterday"),
    "a version that YAML reads as a number": lambda matrix, line: line["python"].update(value=3.1),
    "a range where a version is pinned": lambda matrix, line: line["onnxruntime"].update(value=">=1.30"),
    "a pin where a range is wanted": lambda matrix, line: line["numpy"].update(value="2.1.0"),
    "a CUDA with a minor": lambda matrix, line: line["cuda"].update(value="13.0"),
    "an architecture in NVIDIA's other spelling": lambda matrix, line: line["torch_architectures"][
        "value"
    ].update(aarch64=["sm_90"]),
    "no architecture": lambda matrix, line: line["torch_architectures"]["value"].update(x86_64=[]),
    "a processor without its list": lambda matrix, line: line["torch_architectures"]["value"].pop("aarch64"),
    "another processor": lambda matrix, line: line["glibc"]["value"].update(riscv64="2.39"),
    "no image, and no reason": lambda matrix, line: line["cudnn_image"].pop("why"),
    "an image of another kind": lambda matrix, line: line["cudnn_image"].update(value="ubuntu:24.04"),
    "an environment from nowhere in a line": lambda matrix, line: matrix["environments"]["full"].update(
        cuda_from_in={"cu13-py312": "luck"}
    ),
    "no NGC image and no reason": lambda matrix, line: line["ngc_image"].update(value=None),
    "an unknown status": lambda matrix, line: line.update(status="old"),
    "an empty label": lambda matrix, line: line.update(label=""),
    "a line that is not named for CUDA and Python": lambda matrix, line: matrix["lines"].update(mine=line),
    "a source with no address": lambda matrix, line: next(iter(matrix["sources"].values())).pop("url"),
    "a source that is hearsay": lambda matrix, line: next(iter(matrix["sources"].values())).update(
        how="heard"
    ),
    "CUDA from nowhere": lambda matrix, line: matrix["environments"]["full"].update(cuda_from="luck"),
    "a package without a fact": lambda matrix, line: matrix["environments"]["full"]["packages"].append("jax"),
    "something beside the three parts": lambda matrix, line: matrix.update(notes=[]),
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the schema says of the matrix (its key is empty) and of each copy with a fault; asked once."""
    folder = tmp_path_factory.mktemp("faults")
    named = {"": MATRIX}
    for number, (name, spoil) in enumerate(FAULTS.items()):
        matrix = copy.deepcopy(load())
        spoil(matrix, next(iter(matrix["lines"].values())))
        named[name] = folder / f"{number}.yaml"
        named[name].write_text(yaml.safe_dump(matrix, sort_keys=False))
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", SCHEMA, "--output-format", "json"]
    done = subprocess.run([*command, *named.values()], capture_output=True, text=True)
    errors = json.loads(done.stdout)["errors"]
    return {
        name: "; ".join(error["message"] for error in errors if Path(error["filename"]) == path)
        for name, path in named.items()
    }


def test_the_matrix_is_as_its_schema_says(complaints):
    assert complaints[""] == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_the_schema_refuses(complaints, fault):
    assert complaints[fault] != ""


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_a_download_for_each_of_its_lines_and_the_cpu(name):
    lines = {line for environment, line in SERVED if environment == name}

    assert set(ENVIRONMENTS[name]["download_gb"]) == {*lines, "cpu"}, f"matrix.yaml: {name}: download_gb"


def facts_of(line: str) -> dict[str, dict]:
    """Return the facts of a line by their names."""
    return {name: fact for name, fact in LINES[line].items() if isinstance(fact, dict)}


def test_every_source_of_a_fact_is_there_and_every_source_is_used():
    used = {fact["source"] for line in LINES for fact in facts_of(line).values()}

    assert used == set(load()["sources"])


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_one_cuda_and_one_cudnn(line):
    value = {name: fact["value"] for name, fact in facts_of(line).items()}
    cuda, python = value["cuda"], value["python"]

    assert line == f"cu{cuda}-py{python.replace('.', '')}"
    assert int(value["torch_cuda"].split(".")[0]) == cuda
    assert int(value["torch_cudnn"].split(".")[0]) == value["cudnn"]
    if image := value["cudnn_image"]:
        assert image.split(":")[1].startswith(f"{cuda}.")
    # a second CUDA there would be found before the packages' own
    assert "cuda" not in value["wheels_image"]


@pytest.mark.parametrize("line", LINES)
def test_all_images_of_a_line_have_its_ubuntu_and_so_its_python(line):
    value = {name: fact["value"] for name, fact in facts_of(line).items()}

    assert value["ubuntu"] in GLIBC_MINOR
    assert value["ubuntu"] in RELEASES
    for image in filter(None, (value[name] for name in ("cudnn_image", "wheels_image", "cpu_image"))):
        assert image.replace("ubuntu:", "ubuntu").endswith(f"ubuntu{value['ubuntu']}")


@pytest.mark.parametrize("line", LINES)
def test_the_lowest_python_is_not_newer_than_that_of_the_image(line):
    numbers = [int(LINES[line][name]["value"].split(".")[1]) for name in ("lowest_python", "python")]

    assert numbers == sorted(numbers)


def test_the_frameworks_that_are_checked_are_those_that_are_pinned():
    assert set(facts.PINNED) == set(FRAMEWORKS)


@pytest.mark.parametrize(
    ("question", "choices"), [("cuda", LINES), ("environment", ENVIRONMENTS)], ids=["cuda", "environment"]
)
def test_the_answers_and_their_labels_are_those_of_the_matrix(question, choices):
    labels = {name: text for name, text in QUESTIONS["__prompts__"][question].items() if name != "__prompt__"}

    assert QUESTIONS[question] == list(choices)
    assert labels == {name: choice["label"] for name, choice in choices.items()}


def test_there_is_a_pair_that_cannot_be_had():
    assert UNSERVED, "the next test tests nothing: remove both, and `unavailable`"


@pytest.mark.parametrize(("environment", "line"), UNSERVED)
def test_a_pair_that_cannot_be_had_is_refused_in_one_line_with_the_nearest(tmp_path, environment, line):
    done = run_cookiecutter(tmp_path, f"environment={environment}", f"cuda={line}")

    (said,) = (done.stdout + done.stderr).splitlines()
    nearest = [other for other in LINES if f"cuda={other}, " in said and other != line]
    assert done.returncode == 1
    assert said.startswith(f"environment={environment} is not available with cuda={line}: ")
    assert said.endswith("Nothing was written")
    assert len(nearest) == 1
    assert (environment, nearest[0]) not in UNSERVED
    assert contents(tmp_path) == {}


def test_docs_compatibility_md_is_fresh():
    assert docs.PAGE.read_text() == docs.page(load()), (
        "docs/compatibility.md is not that of the matrix: make docs"
    )


@pytest.mark.parametrize("line", LINES)
def test_the_page_names_the_cuda_packages_that_inference_installs(bake, line):
    [row] = re.findall(r"(?m)^\| `inference` installs \| (.*) \|$", docs.PAGE.read_text())
    cell = row.split(" | ")[list(LINES).index(line)]
    project = tomllib.loads(bake(cuda=line).read("pyproject.toml"))["project"]

    extra = project["optional-dependencies"]["nvidia"]
    packages = [item.partition(" ;")[0] for item in extra if item.startswith("nvidia-")]
    assert cell == (", ".join(packages) or "none: they are in NVIDIA's image")


def test_every_fact_of_the_matrix_is_on_the_page():
    names = {name for line in LINES for name in facts_of(line)}

    assert set(docs.ROWS) == names


@pytest.mark.parametrize(
    ("gpu", "architectures", "served"),
    [
        ("8.6", ["8.6"], ""),
        ("8.9", ["8.6"], ""),
        ("8.0", ["8.6"], None),
        ("9.0", ["8.6"], None),
        ("9.0", ["9.0a"], ""),
        ("12.1", ["12.0a"], None),
        ("12.0", ["9.0+PTX"], "*"),
        ("12.0", ["9.0+PTX", "12.0"], ""),
        ("8.9", ["9.0+PTX"], None),
        ("9.0", ["9.0+PTX"], "*"),
        ("10.0", ["9.0a", "12.0"], None),
        ("8.7", ["8.0", "8.6"], None),
        ("8.7", ["8.7"], ""),
        ("8.7", ["8.0+PTX"], "*"),
    ],
)
def test_code_serves_a_gpu(gpu, architectures, served):
    assert gpus.code_for(gpu, architectures) == served


def test_a_framework_without_code_for_a_gpu_is_not_promised_for_it():
    line = {
        "onnxruntime_architectures": {"value": {"x86_64": ["7.5", "9.0+PTX"], "aarch64": []}},
        "torch_architectures": {"value": {"x86_64": ["7.5", "9.0"], "aarch64": ["9.0"]}},
    }

    promised = [gpus.served(line, gpu, "x86_64") for gpu in ("7.0", "7.5", "9.0", "12.0")]
    on_arm = [gpus.served(line, gpu, "aarch64") for gpu in ("7.5", "9.0")]

    assert promised == ["none", "both", "ONNX Runtime*, PyTorch", "ONNX Runtime*"]
    assert on_arm == ["none", "PyTorch"]


def test_the_page_promises_an_arm_machine_what_its_packages_have_code_for():
    """GH200 has no line of CUDA 12, a DGX Spark both frameworks, a T4G and Jetson Orin nothing."""

    def on_cuda_13(what: str) -> list[str]:
        return [what if cuda_of(load(), line) >= 13 else "none" for line in LINES]

    page = docs.PAGE.read_text().partition("### Arm")[2]
    cells = {
        row.split(" | ")[1]: row.strip("| ").split(" | ")[2:] for row in page.splitlines() if "| " in row
    }

    assert cells["GH200"] == cells["GB10 (DGX Spark)"] == on_cuda_13("both")
    assert cells["A100 in an Arm server"] == cells["GB200"] == on_cuda_13("PyTorch")
    assert cells["T4G"] == cells["Jetson Orin"] == on_cuda_13("none")


def test_a_name_of_no_line_is_refused_in_one_line():
    """Cookiecutter checks an answer; a replay file that somebody wrote it does not."""
    with pytest.raises(FailedHookException, match="'cu99' is not an answer to `environment` or `cuda`"):
        chosen({"environment": "full", "cuda": "cu99"})


def test_a_line_without_a_download_accuses_no_answer(monkeypatch):
    """The fault is in the matrix: whoever changes that gets the key that is missing."""
    monkeypatch.delitem(ENVIRONMENTS["full"]["download_gb"], "cu13-py312")

    with pytest.raises(KeyError, match="cu13-py312"):
        chosen({"environment": "full", "cuda": "cu13-py312"})


def test_make_docs_says_in_one_line_what_the_matrix_lacks(monkeypatch, capsys):
    monkeypatch.delitem(ENVIRONMENTS["inference"]["download_gb"], "cu13-py312")

    assert docs.main([]) == 1
    assert capsys.readouterr().err == (
        "docs: compatibility/matrix.yaml lacks 'cu13-py312': a fact of a line, or a line in `download_gb`\n"
    )


@pytest.mark.parametrize(("environment", "line"), SERVED, ids=str)
def test_the_line_decides_whatever_a_package_asks_for(bake, environment, line):
    """One of each runtime and one OpenCV, at the line's versions, in the extra that they belong to."""
    data = tomllib.loads(bake(environment=environment, cuda=line).read("pyproject.toml"))
    facts = {name: fact["value"] for name, fact in load()["lines"][line].items() if isinstance(fact, dict)}
    overrides = [Requirement(text) for text in data["tool"]["uv"]["override-dependencies"]]
    chosen = [Requirement(text).name for text in data["project"]["dependencies"]]

    for requirement in overrides:
        version = facts[requirement.name.removesuffix("-gpu")]
        assert str(requirement.specifier) == f"=={version}"
        assert "nvidia" in str(requirement.marker) or not requirement.name.endswith("-gpu")
    assert {"onnxruntime", "onnxruntime-gpu"} <= {requirement.name for requirement in overrides}
    opencvs = set(data["tool"]["uv"]["exclude-dependencies"]) | {n for n in chosen if n.startswith("opencv")}
    assert opencvs == set(OPENCVS)

    pythons = SpecifierSet(data["project"]["requires-python"])
    minor = int(facts["highest_python"].split(".")[1])
    assert all(f"{facts[name]}.1" in pythons for name in ("python", "lowest_python", "highest_python"))
    assert f"3.{minor + 1}.0" not in pythons


@pytest.mark.parametrize("environment", WITH_TORCH)
def test_what_belongs_to_pytorch_comes_from_where_pytorch_comes_from(bake, environment):
    data = tomllib.loads(bake(environment=environment).read("pyproject.toml"))
    extras = data["project"]["optional-dependencies"]
    sources = data["tool"]["uv"]["sources"]

    assert sources["torchvision"] == sources["torch"]
    for extra in extras.values():
        assert any(text.startswith("torchvision==") for text in extra) == any(
            t.startswith("torch==") for t in extra
        )


@pytest.mark.parametrize(("line", "fft"), [("cu13-py312", False), ("cu12-py312", True)])
def test_onnxruntime_alone_brings_the_cuda_that_it_loads_and_not_more(line, fft):
    """cuFFT stays out where ONNX Runtime opens it late; a newer compiler needs a newer driver.

    A newer cuDNN may have lost GPUs, so it is PyTorch's: CUDA 12's 9.11 has no code for V100.
    """
    made = stack("inference", line)
    wanted = [Requirement(text) for text in made.nvidia]
    loaded = [name for name in made.doctor["frameworks"]["onnxruntime"]["lazy_libraries"] if "cufft" in name]

    assert any(need.name.startswith("nvidia-cufft") for need in wanted) is fft
    assert loaded == []
    [compiler] = [need for need in wanted if need.name.startswith("nvidia-cuda-nvrtc")]
    assert str(compiler.specifier) == f"=={made.facts['torch_cuda']}.*"
    [cudnn] = [need for need in wanted if need.name.startswith("nvidia-cudnn")]
    assert cudnn.specifier.contains(made.facts["torch_cudnn"])
    assert not cudnn.specifier.contains("9.11.0.98" if line.startswith("cu12") else "9.25.0.1")


@pytest.mark.parametrize("line", LINES)
def test_beside_pytorch_the_extras_of_onnxruntime_bring_the_rest(line):
    made = stack("full", line)

    assert not [text for text in made.nvidia if text.startswith("nvidia-")]
    assert any(text.startswith("onnxruntime-gpu[cuda,cudnn]==") for text in made.nvidia)


@pytest.mark.parametrize("line", LINES)
def test_nvidia_s_forward_compatibility_library_leaves_its_image_and_only_there(bake, line):
    """The container toolkit would mount it before the driver's own, on a GeForce, too: error 804."""
    dockerfile = bake(cuda=line).read("docker/Dockerfile")

    by_nvidia = bool(load()["lines"][line]["cudnn_image"]["value"])
    assert ("rm -rf /usr/local/cuda*/compat" in dockerfile) is by_nvidia


def test_the_page_of_hosts_names_the_arm_machines_that_lack_a_framework():
    [row] = re.findall(r"(?m)^\| Arm with an NVIDIA GPU: .*$", (TEMPLATE / "docs/hosts.md").read_text())
    line = load()["lines"]["cu13-py312"]
    names = {"9.0": "GH200", "10.0": "GB200", "12.1": "DGX Spark"}
    lacking = {
        f"{name}: no {title}"
        for gpu, name in names.items()
        for framework, title in gpus.FRAMEWORKS.items()
        if gpus.code_for(gpu, line[f"{framework}_architectures"]["value"]["aarch64"]) is None
    }

    assert set(re.findall(r"\w+: no [\w ]*\w", row)) == lacking
