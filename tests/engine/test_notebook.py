"""JupyterLab and TensorBoard, looked at with a real browser."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import requests
from playwright.sync_api import Browser, expect, sync_playwright

from engines.base_image import Base
from tests.conftest import BakedProject, generate
from tests.support.engine import change_owner
from tests.support.stand_ins import build_image, lock, recipe
from tests.support.workers import image_of, report

UID = 1234
INSTALL = "get_ipython().run_line_magic('pip', 'install --quiet humanize')"  # in one line: %pip install
CELL = f"{INSTALL}; import os, humanize, torch; print('uid', os.getuid(), 'device', torch.ones(1).device)"
START_SECONDS = 60


@pytest.fixture(scope="module")
def browser(base: Base) -> Iterator[Browser]:
    """Debian's Chromium in a container, which reaches this machine's loopback and listens on it."""
    debian = base.name if base.stand_in else "debian:12"  # Ubuntu's chromium is a snap
    image = build_image(recipe("browser"), "capy-env-browser", f"BASE={debian}", network="host")
    port = free_port()
    command = ["docker", "run", "--detach", "--rm", "--network", "host", image]
    command += [f"--remote-debugging-port={port}", "about:blank"]
    container = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        wait_for(f"http://127.0.0.1:{port}/json/version")
        with sync_playwright() as playwright:
            yield playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
    finally:
        subprocess.run(["docker", "kill", container], check=True, capture_output=True)


@pytest.fixture(scope="module")
def notebook(base: Base, pytorch, tmp_path_factory) -> Iterator[BakedProject]:
    """A project with notebooks, of an ordinary user, in which a training has run; its services are up."""
    folder = tmp_path_factory.mktemp("notebook")
    project = generate(folder, project="capy-env-training", environment="training", notebook=True)
    pytorch.use_in(project)
    lock(project)  # the same packages as in tests/engine/test_environments.py: one build
    if (project.path / "compose.override.yaml").exists():  # without the host's network: ports
        (project.path / "compose.override.yaml").write_text("services: {app: {build: {network: host}}}\n")
    ports = f"JUPYTER_PORT={free_port()}\nTENSORBOARD_PORT={free_port()}\n"
    (project.path / ".env").write_text(f"ACCELERATOR=cpu\n{ports}")
    done = project.run("docker", "compose", "build", "app")
    assert done.returncode == 0, done.stderr
    change_owner(project.path, UID, UID, image_of("capy-env-training"))
    trained = project.run("docker", "compose", "run", "--rm", "app", "script.py", "--epochs", "5")
    assert trained.returncode == 0, trained.stderr
    try:
        up = project.run("docker", "compose", "up", "--detach", "jupyter", "tensorboard")
        assert up.returncode == 0, up.stderr
        yield project
    finally:
        project.run("docker", "compose", "--profile", "notebook", "down")
        change_owner(project.path, os.getuid(), os.getgid(), image_of("capy-env-training"))


def test_the_printed_link_opens_and_a_cell_runs_as_the_user(notebook, browser, pytestconfig, tmp_path):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(link(notebook))
    page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click(timeout=60_000)
    cell = page.locator(".jp-Notebook .cm-content").first
    # an editor takes no keys before its kernel is up
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    cell.click()
    page.keyboard.insert_text(CELL)
    expect(cell).to_have_text(CELL)
    page.keyboard.press("Shift+Enter")

    output = page.locator(".jp-OutputArea-output").first
    expect(output).to_have_text(re.compile(rf"uid {UID} device cpu"), timeout=60_000)
    page.keyboard.press("Control+s")
    rename = page.get_by_role("button", name=re.compile("^Rename"))
    if rename.count():  # JupyterLab asks for a name, once, unless it was told not to
        rename.click()
    saved = notebook.path / "Untitled.ipynb"
    wait_until(lambda: saved.exists() and CELL in saved.read_text().replace('\\"', '"'))
    keep(page, "notebook.png", pytestconfig, tmp_path)
    page.close()

    assert (saved.stat().st_uid, saved.stat().st_gid) == (UID, UID)


@pytest.mark.parametrize("path", ["lab", "files/script.py", "api/contents", "api/kernels"])
@pytest.mark.parametrize("token", ["", "?token=wrong"])
def test_without_the_token_nothing_opens(notebook, path, token):
    """A page leads to the question for the token, everything else is refused."""
    address = link(notebook).partition("/lab")[0]

    answer = requests.get(f"{address}/{path}{token}", timeout=20, proxies={"http": ""})

    assert "/login" in answer.url or answer.status_code in (401, 403), answer.status_code


def test_the_curves_of_the_training_show(notebook, browser, pytestconfig, tmp_path):
    address = link(notebook, "tensorboard")
    wait_for(address)

    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}?darkMode=false#timeseries")
    expect(page.get_by_text("loss", exact=True).first).to_be_visible(timeout=60_000)
    expect(page.locator("line-chart").first).to_be_visible(timeout=60_000)
    if "SCREENSHOTS" in os.environ:
        page.wait_for_timeout(3000)  # the line is drawn after its axes
    keep(page, "curves.png", pytestconfig, tmp_path)
    page.close()

    scalars = json.load(urlopen(f"{address}data/plugin/scalars/scalars?tag=loss&run=curves", timeout=20))
    assert [step for _, step, _ in scalars] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("service", ["jupyter", "tensorboard"])
def test_only_this_machine_reaches_it(notebook, service):
    container = notebook.run("docker", "compose", "ps", "--quiet", service).stdout.strip()
    inspected = json.loads(notebook.run("docker", "inspect", container).stdout)[0]

    published = [place for places in inspected["NetworkSettings"]["Ports"].values() for place in places or []]

    assert {place["HostIp"] for place in published} == {"127.0.0.1"}


@pytest.mark.parametrize("service", ["jupyter", "tensorboard"])
@pytest.mark.parametrize("host", ["rebound.example.com", "127.0.0.1.example.com", "192.0.2.1"])
def test_a_web_page_whose_name_got_this_address_reads_nothing(notebook, service, host):
    """DNS rebinding: for the browser the page and the service are one site, and it knows no link."""
    opened = link(notebook, service)
    wait_for(opened)
    port = urlsplit(opened).port
    for path in ("/", "/lab", "/api", "/data/runs", "/data/environment", "/data/plugin/scalars/tags"):
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})

        # JupyterLab sends / on to /lab, whoever asks
        assert connection.getresponse().status in (403, 404, *[302] * (path == "/")), path


def link(project: BakedProject, service: str = "jupyter") -> str:
    """Return the link that JupyterLab or TensorBoard prints, waiting for it."""
    found: list[str] = []
    form = r"lab\?token=\w+" if service == "jupyter" else r"[\w-]+/"

    def printed() -> bool:
        logs = project.run("docker", "compose", "logs", service).stdout
        found[:] = re.findall(rf"http://127\.0\.0\.1:\d+/{form}", logs)
        return bool(found)

    wait_until(printed)
    return found[-1]


def keep(page, name: str, config: pytest.Config, folder: Path) -> None:
    """Take a screenshot for people to look at, where SCREENSHOTS names a folder, else for nobody."""
    kept = Path(os.environ.get("SCREENSHOTS", folder)) / name
    page.screenshot(path=kept)
    report(config, f"screenshot of a real browser: {kept.name}, {kept.stat().st_size} bytes")


def free_port() -> int:
    """Return a port of the loopback where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str) -> None:
    """Wait until something answers at a URL."""

    def answers() -> bool:
        try:
            urlopen(url, timeout=5).close()
        except (URLError, ConnectionError, TimeoutError):
            return False
        return True

    wait_until(answers)


def wait_until(condition) -> None:
    """Wait for a condition, START_SECONDS at most."""
    end = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.3)
