"""The README and the pages of a generated project: short, complete, in plain words, one click apart."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from jinja2 import FileSystemLoader

from tests.conftest import TEMPLATE, BakedProject
from tests.generation.conftest import CHOICES, EACH_ANSWER, FORBIDDEN, sentence
from tests.generation.docs_commands import COMMANDS as SHARED
from tests.generation.project_commands import ALL, COMMANDS
from tests.generation.test_docs import blocks, comments, in_tables, is_listed
from tests.generation.test_files import UniqueKeys
from tools.prose import links, style, terms

LONGEST = 100  # lines of a README
WIDEST = 120  # columns
MOST_WORDS = 25  # of a sentence
LANGUAGES = CHOICES["readme_language"]
EVERYTHING = {
    "environment": "full",
    "private_index": "https://pypi.example.com/simple",
    "private_packages": "in-house-tool",
    "notebook": True,
    "scale_out": "ray-and-kubernetes",
}
CHOICES_OF_RAY = {"environment": "training", "scale_out": "ray"}  # train.py without predict.py
# What a person types into a search box, and the page that answers it.
SEARCHES = {
    "error messages": "docs/errors.md",
    "no GPU": "docs/gpu.md",
    "GPU not found in a container": "docs/gpu.md",
    "files owned by root, permission denied": "docs/permission-denied.md",
    "Podman": "docs/engines.md",
    "rootless Docker": "docs/engines.md",
    "SELinux": "docs/engines.md",
    "WSL2": "docs/engines.md",
    "company proxy, CA certificate": "docs/proxy.md",
    "VS Code dev container": "docs/vscode.md",
    "add packages": "docs/packages.md",
    "data, weights, tokens": "docs/data.md",
    "private package index": "docs/private-index.md",
    "Jupyter and TensorBoard": "docs/notebooks.md",
}


def everything(language: str) -> dict[str, str | bool]:
    """Return the answers that give a project its every page."""
    return {**EVERYTHING, "readme_language": language}


@pytest.fixture(scope="module")
def made(projects) -> dict[str, BakedProject]:
    """Projects that have every answer, in each language, and the ones with everything, by their answers."""
    few = [{**answers, "readme_language": language} for answers in EACH_ANSWER for language in LANGUAGES]
    few += [{**CHOICES_OF_RAY, "readme_language": language} for language in LANGUAGES]
    wanted = {sentence(answers): answers for answers in [*few, *map(everything, LANGUAGES)]}
    return {name: projects.of(answers) for name, answers in wanted.items()}


@pytest.fixture(scope="module")
def english(made) -> BakedProject:
    """The project with everything, in English."""
    return made[sentence(everything("en"))]


def pages(project: BakedProject) -> list[str]:
    """Return the README and the pages of a project."""
    return ["README.md", *sorted(name for name in project.files() if name.startswith("docs/"))]


def all_pages(projects: dict[str, BakedProject]) -> Iterator[tuple[str, str]]:
    """Yield each page of each project: its name, and its text."""
    for answers, project in projects.items():
        for name in pages(project):
            yield f"{name} ({answers})", project.read(name)


def commands(text: str) -> list[str]:
    """Return the commands of shell blocks and tables; a line that goes on is one command.

    The comments of scripts are left out.
    """
    lines = [line for block in blocks(text) for line in block.replace("\\\n", " ").splitlines()]
    lines = [re.sub(r"(^|\s+)# .*", "", line).strip() for line in lines]
    return [line for line in [*lines, *in_tables(text)] if line]


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a Markdown text; a cell of a table or an item of a list ends one."""
    text = links.FENCE.sub("\n\n", text)
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", links.CODE.sub("code", text))
    text = re.sub(r"(?m)^(\|.*|#.*)$", lambda line: line[0].replace("|", "\n\n") + "\n", text)
    text = re.sub(r"(?m)^ *(-|\d+\.) ", "\n\n", text)
    for block in re.split(r"\n\s*\n", text):
        yield from re.split(r"(?<=[.!?])\s+(?=\W*[A-Z]|code)", " ".join(block.split()))


def words(text: str) -> list[str]:
    """Return the words of a sentence; a figure is none."""
    return re.findall(r"[A-Za-z][\w'-]*", text)


def contexts(choices: dict[str, list]) -> Iterator[dict]:
    """Yield what the templates are rendered with, for every combination of these answers."""
    for answers in itertools.product(*choices.values()):
        chosen = dict(zip(choices, answers, strict=True))
        if not any(pair.items() <= chosen.items() for pair in FORBIDDEN):
            context = generate_context(str(TEMPLATE / "cookiecutter.json"), extra_context=chosen)
            yield {"cookiecutter": prompt_for_config(context, no_input=True)}


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(
            {name: [value] for name, value in EVERYTHING.items() if name != "environment"}, id="everything"
        ),
        pytest.param({}, id="every combination", marks=pytest.mark.nightly),
    ],
)
def test_a_readme_has_at_most_100_lines(rest):
    environment, lines = None, {}
    for context in contexts(CHOICES | {"license": ["MIT"]} | rest):  # no page has the license
        environment = environment or create_env_with_context(context)
        environment.loader = FileSystemLoader(TEMPLATE / "templates")
        answers = context["cookiecutter"]
        for address in ("https://example.com/a/template", str(TEMPLATE)):
            answers["_template"] = address
            text = environment.get_template(f"README.{answers['readme_language']}.md").render(**context)
            lines[str(answers)] = len(text.splitlines())

    assert {answers: count for answers, count in lines.items() if count > LONGEST} == {}
    assert len(lines) >= 2 * 11 * 2 * 2  # an address, a line with an environment, a language, GitHub Actions


def test_every_page_is_one_click_from_the_readme_and_every_link_leads_somewhere(made):
    for project in made.values():
        linked = {target for _, target in links.targets(project.read("README.md"))}
        assert {name for name in pages(project) if name != "README.md"} <= linked
        for name in pages(project):
            assert list(links.broken(project.path / name, project.path)) == []


@pytest.mark.parametrize(("search", "page"), SEARCHES.items(), ids=SEARCHES)
def test_what_people_search_for_is_in_a_title_and_in_the_readme(english, search, page):
    title = english.read(page).partition("\n")[0].lower()
    [row] = [line.lower() for line in english.read("README.md").splitlines() if f"({page})" in line][-1:]

    wanted = re.findall(r"\w+", search.lower())
    assert title.startswith("# ")
    assert [word for word in wanted if word not in title] == []
    assert [word for word in wanted if word not in f"{row} in a container"] == []


def key_of(command: str) -> str | None:
    """Return the longest key that is for a command."""
    return max((key for key in ALL if is_listed(command, key)), key=len, default=None)


def test_every_command_names_the_test_that_runs_it(made):
    found = {line: name for name, text in all_pages(made) for line in commands(text)}

    assert {line: name for line, name in found.items() if key_of(line) is None} == {}


def test_no_pasted_block_has_a_comment(made):
    found = {line: name for name, text in all_pages(made) for line in comments(text)}

    assert found == {}


def test_no_command_is_listed_that_no_page_has(made):
    used = {key_of(line) for _, text in all_pages(made) for line in commands(text)}

    assert set(COMMANDS) - used == set()
    assert set(COMMANDS) & set(SHARED) <= {"uvx cruft link *"}


@pytest.mark.parametrize("test", sorted({test for test in COMMANDS.values() if "::" in test}))
def test_a_test_that_the_list_names_exists(test):
    file, function = test.split("::")

    assert re.search(rf"(?m)^def {function}\(", (TEMPLATE / file).read_text())


def test_docker_run_asks_for_the_shared_memory_that_compose_gives(made):
    """Without it a data loader has 64 MB, and Ray's object store lies on the disk."""
    for project in made.values():
        wanted = re.findall(r"(?m)^ +shm_size: (\d+g)b$", project.read("docker/machine.yaml"))
        lines = [line for name in pages(project) for line in commands(project.read(name))]
        found = [re.findall(r"--shm-size (\S+)", line) for line in lines if "--gpus all" in line]
        assert found == [wanted] * 3


def test_the_script_for_a_process_manager_is_the_one_that_is_tried(made):
    """tests/engine/test_supervisor.py runs the one of docs/hosts.md."""
    [tried] = scripts((TEMPLATE / "docs/hosts.md").read_text())

    for project in made.values():
        assert scripts(project.read("docs/long-runs.md")) == [tried]


def scripts(text: str) -> list[list[str]]:
    """Return the commands of each shell script of a page."""
    return [commands(block) for block in re.findall(r"(?ms)^```sh\n#!/bin/sh\n.*?^```$", text)]


def test_what_the_pages_append_to_compose_project_yaml_fits_there(made):
    """Compose refuses a key that stands twice, and `deploy.resources.limits` beside `pids_limit`."""
    for project in made.values():
        text = "\n".join(project.read(name) for name in pages(project))
        appended = re.findall(r"(?ms)^```yaml\n( {4}\w.*?)^```$", text)
        whole = project.read("compose.project.yaml") + "".join(appended)
        service = yaml.load(whole, UniqueKeys)["services"]["project"]
        assert {"security_opt", "mem_limit", "cpus", "volumes", "build"} <= service.keys()
        assert "deploy" not in service


def test_a_second_service_is_in_the_file_that_only_compose_yaml_reads(made):
    for project in made.values():
        found = re.findall(r"(?ms)^```yaml\n(services:.*?)^```$", project.read("docs/data.md"))
        overrides = [yaml.load(block, UniqueKeys)["services"] for block in found]
        assert [services["app"].get("depends_on") for services in overrides] == [["db"], None]
        assert "image" in overrides[0]["db"]


def test_no_block_of_code_is_without_its_language(made):
    fences = {
        (name, fence) for name, text in all_pages(made) for fence in re.findall(r"(?m)^```.*$", text)[::2]
    }

    assert {
        (name, fence) for name, fence in fences if fence not in ("```sh", "```text", "```yaml", "```toml")
    } == set()


def test_no_word_is_used_that_the_project_does_not_use(made):
    known = terms.terms()
    found = {
        (name, word): better
        for name, text in all_pages(made)
        for _, word, better in terms.misused(text, known)
    }

    assert found == {}


def test_no_english_sentence_has_more_than_25_words(made):
    english = {name: text for name, text in all_pages(made) if "readme_language=en" in name}
    found = {line: name for name, text in english.items() for line in sentences(text)}

    assert {line: name for line, name in found.items() if len(words(line)) > MOST_WORDS} == {}
    assert len(found) > 200


def test_a_long_sentence_is_found():
    text = f"Short. {'Word ' * 26}end.\n\n| {'cell ' * 20}| {'cell ' * 20}|\n"

    assert [len(words(line)) for line in sentences(text) if len(words(line)) > MOST_WORDS] == [27]


def test_proselint_finds_nothing(english):
    assert {name: faults for name in pages(english) if (faults := list(style.weak(english.read(name))))} == {}


def test_no_line_of_prose_is_wider_than_120_columns(made):
    """A table, a command and an address cannot be wrapped."""
    wide = {
        line: name
        for name, text in all_pages(made)
        for line in links.FENCE.sub("", text).splitlines()
        if len(line) > WIDEST and not line.startswith("|") and "http" not in line
    }

    assert wide == {}


def test_the_messages_of_a_project_are_also_on_the_template_s_page(english):
    template = (TEMPLATE / "docs/error-messages.md").read_text()
    first = [line.split(" | ")[0] for line in english.read("docs/errors.md").splitlines()]
    first = [cell.replace("entrypoint: ", "") for cell in first]  # the page names the program once
    messages = [found for cell in first for found in re.findall(r"`([^`]+)`", cell) if cell.startswith("| `")]

    parts = {message: [part.strip() for part in message.split("…") if part.strip()] for message in messages}
    assert [name for name in messages if not all(part in template for part in parts[name])] == []
    assert len(messages) > 20


def test_every_file_has_its_line_in_the_table_of_files(made):
    """A folder, or a pattern, stands for what is in it."""
    for project in made.values():
        named = set(re.findall(r"`([\w./*-]+)`", project.read("docs/files.md")))
        patterns = [f"{name}*" if name.endswith("/") else name for name in named]
        unknown = {
            name
            for name in project.files()
            if not any(
                Path(name).match(pattern) or (pattern.endswith("/*") and name.startswith(pattern[:-1]))
                for pattern in patterns
            )
        }
        assert unknown == set()


def test_a_page_writes_no_image_file_where_the_next_build_copies_it(made):
    """An archive of some gigabytes beside pyproject.toml would be a part of the image."""
    own = [(path.name, path.read_text()) for path in (TEMPLATE / "docs").glob("*.md")]
    words = {
        (word.removeprefix("docker-archive:"), name)
        for name, text in [*own, *all_pages(made)]
        for command in commands(text)
        for word in re.findall(r"[^\s\"']+\.(?:tar|sif)\b", command)
    }

    assert [(word, name) for word, name in words if not word.startswith((".cache/", "$SCRATCH/"))] == []
    assert {".cache/image.tar", ".cache/image.sif"} <= {word for word, _ in words}


def test_a_plain_build_tags_what_it_builds(made):
    """Without build arguments it is the one for a GPU, whatever .env says."""
    built = [
        line
        for _, text in all_pages(made)
        for line in commands(text)
        if line.startswith("docker build ") and "--tag" in line
    ]

    assert built
    for line in built:
        assert "ACCELERATOR=cpu docker compose config --images app" in line
        assert "--build-arg ACCELERATOR=cpu --build-arg BASE_IMAGE=" in line
