"""What a generated project consists of: exactly these files, tidy, readable, always the same."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.licenses import canonicalize_license_expression

from tests.conftest import TEMPLATE, BakedProject, run_cookiecutter
from tests.generation.conftest import CHOICES, COMBINATIONS, EACH_ANSWER, MARKS, contents, sentence
from tests.generation.expected_files import expected_files

SOURCE = TEMPLATE / "{{checked(cookiecutter.project)}}"
VARIANTS = TEMPLATE / "templates"
BINARY = {".onnx", ".png"}
TITLES = {
    "MIT": "MIT License",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "BSD 3-Clause License",
    "Proprietary": "All rights reserved",
}


class UniqueKeys(yaml.SafeLoader):
    """Read YAML as Compose does: PyYAML alone silently takes the last of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Refuse a key that stands twice."""
        keys = [key.value for key, _ in node.value]
        if len(keys) > len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, f"twice in {keys}", node.start_mark)
        return super().construct_mapping(node, deep)


READERS = {
    ".yaml": lambda text: yaml.load(text, UniqueKeys),
    ".json": json.loads,
    ".toml": tomllib.loads,
}


def test_the_files_are_exactly_the_expected_ones(project, answers):
    assert project.files() == expected_files("my_project", answers)


def test_data_is_ignored_at_the_root_only(bake):
    """A folder of code may have the same name: it would silently not be committed, or not be copied."""
    project = bake()
    block = project.read(".gitignore").split("# Data and results")[1].split("\n\n")[0]
    folders = [line.strip("/") for line in block.splitlines()[1:]] + ["dist"]
    subprocess.run(["git", "init", "--quiet"], cwd=project.path, check=True)

    asked = [f"{place}{folder}/heads.py" for folder in folders for place in ("", "src/my_project/")]
    done = subprocess.run(
        ["git", "check-ignore", *asked], cwd=project.path, capture_output=True, text=True, check=True
    )

    assert {"checkpoints", "data", "outputs", "runs"} <= set(folders)
    assert done.stdout.split() == asked[::2]
    # there a name is the root's, without `**/`
    assert set(folders) <= set(project.read(".dockerignore").splitlines())


def test_no_folder_is_empty(project):
    folders = [path for path in project.path.rglob("*") if path.is_dir()]

    assert [folder for folder in folders if not any(folder.iterdir())] == []


def test_nothing_of_jinja_is_left(project):
    """Shell scripts are not rendered and may hand Go templates to docker; workflows have ${{ }}."""
    rendered = {name: text for name, text in texts(project).items() if not name.endswith(".sh")}

    plain = {
        name: re.sub(r"\$\{\{.*?\}\}", "", text) if name.startswith(".github/") else text
        for name, text in rendered.items()
    }

    assert [name for name, text in plain.items() if re.search(r"\{[{%#]", text)] == []


def test_no_trace_of_the_template_or_of_this_machine_is_left(project):
    traces = ["cookiecutter", "capy[-_]template", re.escape(str(TEMPLATE)), re.escape(str(project.path))]
    trace = re.compile("|".join(traces).encode(), re.IGNORECASE)

    found = {name: trace.findall(data) for name, data in contents(project.path).items() if data}

    assert {name: words for name, words in found.items() if words} == {}


def test_every_structured_file_can_be_read(project):
    structured = [name for name in project.files() if Path(name).suffix in READERS]

    data = {name: read(project, name) for name in structured}

    assert {"compose.yaml", "pyproject.toml", ".devcontainer/devcontainer.json"} <= data.keys()
    assert all(isinstance(content, dict) for content in data.values())


FAULTS = {
    "a line end of Windows": r"\r",
    "a tab": r"\t",
    "a blank at the end of a line": r"(?m) +$",
    "an empty first line": r"\A\n",
    "an empty last line": r"\n\n\Z",
    "no newline at the end": r"[^\n]\Z",
}


def test_every_text_is_tidy(project):
    untidy = {
        (name, fault)
        for name, text in texts(project).items()
        for fault, pattern in FAULTS.items()
        if re.search(pattern, text)
    }

    assert untidy == set()


def test_only_python_has_two_empty_lines_in_a_row(project):
    gaps = [name for name, text in texts(project).items() if "\n\n\n" in text]

    assert [name for name in gaps if not name.endswith(".py")] == []


def test_what_is_not_rendered_is_the_template_s_own_to_the_byte(project, answers):
    suffixes = {".sh", *BINARY}
    copied = {
        name for name in project.files() if Path(name).suffix in suffixes or name.startswith("docker/doctor/")
    }
    copied -= {"docker/entrypoint.sh"}  # depends on the answers

    same = {name for name in copied if (project.path / name).read_bytes() in originals(name)}

    assert same == copied
    assert ("example.png" in copied) == (answers["environment"] == "inference")


def test_the_license_is_the_chosen_one_and_no_other(project, answers):
    text = project.read("LICENSE")

    assert [name for name, title in TITLES.items() if title in text] == [answers["license"]]


def test_pyproject_names_the_license_by_its_spdx_name(project, answers):
    declared = read(project, "pyproject.toml")["project"]["license"]

    assert declared == canonicalize_license_expression(declared)
    assert declared.removeprefix("LicenseRef-") == answers["license"]


def test_every_dependency_is_a_valid_requirement(project):
    names = {requirement.name for requirement in project.requirements()}

    assert {"numpy", "opencv-python-headless", "pytest", "ruff"} <= names


def test_every_accelerator_has_its_compose_file_and_its_packages(project):
    files = project.path.glob("docker/accelerator-*.yaml")

    accelerators = {file.stem.removeprefix("accelerator-") for file in files}

    extras = read(project, "pyproject.toml")["project"]["optional-dependencies"]
    assert accelerators == {*extras, "cdi"} == {"cpu", "nvidia", "cdi"}
    # which is `nvidia` but for the reservation
    cdi, nvidia = (
        read(project, f"docker/accelerator-{name}.yaml")["services"]["accelerator"]
        for name in ("cdi", "nvidia")
    )
    assert cdi["build"] == nvidia["build"]


def test_a_stage_that_installs_names_the_build_arguments_of_all_that_it_comes_from(project):
    """Docker hands them down, Podman before 5.8 does not: a mirror would be ignored, an extra left out."""
    own, parents, installs = {}, {}, set()
    for line in project.read("docker/Dockerfile").splitlines():
        if stage := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            parents[stage[2]], own[stage[2]] = stage[1], set()
        elif own and (argument := re.match(r"ARG (\w+)", line)):
            own[list(own)[-1]].add(argument[1])
        elif re.match(r"    .*(sync-environment|with-network|with-index) ", line):
            installs.add(list(own)[-1])

    assert {"runtime", "deploy", "dev", "uv", "locked"} <= installs
    for stage in installs:
        parent = parents[stage]
        while parent in own:
            assert own[stage] >= own[parent], stage
            parent = parents[parent]


def test_the_name_stands_wherever_a_name_is_needed(bake):
    project = bake(project="two-words")

    image = read(project, "compose.yaml")["services"]["app"]["image"]
    assert image == "two-words${CHECKOUT:-}:${ACCELERATOR:-nvidia}"
    assert read(project, "pyproject.toml")["project"]["name"] == "two-words"
    assert (
        read(project, ".devcontainer/compose.yaml")["name"]
        == "two-words-devcontainer-${ACCELERATOR:-nvidia}${CHECKOUT:-}"
    )
    assert read(project, ".devcontainer/devcontainer.json")["name"] == "two-words"
    assert project.read("README.md").startswith("# two-words\n")
    assert "src/two_words/__init__.py" in project.files()
    assert not re.search("my[-_]project", "".join(texts(project).values()))


@pytest.mark.parametrize(
    "answers",
    # each starts cookiecutter: two of them in `make test`
    [pytest.param(answers, marks=MARKS[answers in EACH_ANSWER[::5]]) for answers in COMBINATIONS],
    ids=sentence,
)
def test_the_same_answers_give_the_same_files_anywhere(project, answers, tmp_path):
    somebody_else = {"HOME": str(tmp_path), "USER": "else", "LANG": "C", "TZ": "Asia/Taipei"}
    (tmp_path / "elsewhere").mkdir()

    arguments = sentence(answers).split(", ")
    run_cookiecutter(tmp_path / "elsewhere", *arguments, **somebody_else)

    again = BakedProject(tmp_path / "elsewhere" / "my-project")
    for made in (again, project):  # it has the number of the folder
        assert re.fullmatch(r"CHECKOUT=-\d+\nBUILD_CACHE=\w+\n", made.read(".env"))
    assert {**contents(again.path), ".env": b""} == {**contents(project.path), ".env": b""}
    assert permissions(again) == permissions(project)


def test_no_file_name_of_the_template_is_longer_than_60_characters():
    names = [path.name for folder in (SOURCE, VARIANTS) for path in folder.rglob("*")]

    assert [name for name in names if len(name) > 60] == []


def test_every_variant_is_an_answer_s():
    answers = {f"LICENSE.{name}" for name in CHOICES["license"]}
    included = set(re.findall(r"'(script\.[\w.]+)'", (SOURCE / "script.py").read_text()))
    pages = {
        f"docs/{path.name}"
        for path in (SOURCE / "docs").iterdir()
        if path.read_text().startswith("{% include")
    }
    pages = {re.sub(r"\{%.*?%\}", "", name).removesuffix(".md") for name in pages} | {
        "README",
        "docs/versions",
    }
    answers |= {f"{page}.{language}.md" for page in pages for language in CHOICES["readme_language"]}

    found = {path.relative_to(VARIANTS).as_posix() for path in VARIANTS.rglob("*") if path.is_file()}
    assert found == answers | included


def test_a_module_of_the_user_s_own_is_not_taken_for_the_template_s(tmp_path):
    for name in ("answers", "compatibility", "extension", "matrix"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the user')\n")

    done = run_cookiecutter(tmp_path, PYTHONPATH=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my-project/compose.yaml").exists()


@pytest.mark.parametrize("environment", ["training", "training-ngc", "full"])
def test_the_production_image_has_what_its_scripts_import(projects, environment):
    """It is built without the group `notebook`."""
    project = projects[sentence({**COMBINATIONS[0], "environment": environment, "notebook": True})]

    assert "import SummaryWriter" in project.read("src/my_project/training.py")
    assert "tensorboard>=2.18" in read(project, "pyproject.toml")["project"]["dependencies"]


def originals(name: str) -> list[bytes]:
    """Return the bytes of the template's files that may become `name`: a condition can be around it."""
    folder, _, file = name.rpartition("/")
    return [path.read_bytes() for path in (SOURCE / folder).glob(f"*{file}*")]


def texts(project: BakedProject) -> dict[str, str]:
    """Return the text files that are not empty."""
    names = sorted(name for name in project.files() if Path(name).suffix not in BINARY)
    return {name: text for name in names if (text := project.read(name))}


def read(project: BakedProject, name: str) -> dict:
    """Return a YAML, JSON or TOML file as data."""
    return READERS[Path(name).suffix](project.read(name))


def permissions(project: BakedProject) -> dict[str, int]:
    """Return the permissions of every file."""
    return {name: (project.path / name).stat().st_mode for name in project.files()}
