"""Which test runs a command of a generated project's README and pages: they are compared with this list.

docs_commands.py has the commands of this repository; one that both have is there alone. A key is a command as
a page has it; ` *` at its end stands for any arguments, or none.
"""

from tests.generation.docs_commands import COMMANDS as SHARED
from tests.generation.docs_commands import ENGINE, HERE, NEEDS_GPU

CONTENTS = ENGINE + "test_image_contents.py::"
RAY = ENGINE + "test_ray.py::"
PACKAGES = ENGINE + "test_added_packages.py::"
REGISTRY = "not run: needs a container registry"
CHARLIECLOUD = ENGINE + "test_slurm.py::test_charliecloud_runs_the_same_image"

COMMANDS = {
    # the README
    "docker compose run --rm app script.py photo.png": ENGINE
    + "test_first_run.py::test_a_picture_of_the_user_s_own_is_read",
    "docker compose run --rm app script.py --epochs 60": ENGINE
    + "test_environments.py::test_an_environment_of_a_line_works_and_its_versions_match",
    "docker compose run --rm app": ENGINE + "test_entrypoint_commands.py::test_no_command_runs_bash",
    "docker compose run --rm app pytest": RAY + "test_the_project_s_own_tests_pass",
    "docker compose -f compose.yaml -f .devcontainer/compose.yaml run --rm app pre-commit run --all-files": (
        "tests/devcontainer/test_git.py::test_every_linter_runs_in_a_worktree"
    ),
    "uvx cruft link *": HERE + "test_updates.py::test_the_readme_s_command_links_a_project",
    # Podman
    "podman compose *": ENGINE
    + "test_podman_builds.py::test_docker_compose_builds_with_the_overlay_and_runs_that",
    "podman build *": ENGINE
    + "test_podman_builds.py::test_podman_build_takes_the_secrets_as_the_project_s_page_says",
    # what is in the image
    "docker compose run --rm app uv tool run *": CONTENTS + "test_an_sbom_of_the_whole_image",
    "docker compose run --rm app sh -c 'uv pip freeze *": CONTENTS
    + "test_the_scanner_looks_at_the_packages_of_the_image",
    # users, running containers
    "docker compose exec app entrypoint *": ENGINE
    + "test_root_runs.py::test_docker_exec_with_the_entrypoint_is_the_user_with_the_environment",
    "docker compose down --remove-orphans": ENGINE
    + "test_faults.py::test_ctrl_c_twice_leaves_no_container_and_no_file_of_root_s",
    "docker exec -it work entrypoint": ENGINE
    + "test_entrypoint_commands.py::test_it_starts_commands_in_a_running_container_too",
    "docker exec -it CONTAINER bash": "tests/devcontainer/test_day_two.py::"
    "test_a_profiler_attaches_and_root_may_install_packages",
    "NETWORK=bridge docker compose -f compose.guarded.yaml run --rm app script.py": ENGINE
    + "test_guarded.py::test_there_is_no_network_unless_it_is_asked_for",
    # packages
    "docker compose run --rm app uv add --dev NAME": "tests/generation/test_uv.py::"
    "test_a_package_of_a_group_is_installed_and_the_last_line_says_which_build_has_it",
    "uv sync": "tests/devcontainer/test_day_two.py::"
    "test_a_package_that_docker_compose_run_adds_is_one_sync_away_and_in_the_next_build",
    "docker compose run --rm -e PYPI_PASSWORD app uv add --index private NAME": ENGINE
    + "test_guide.py::test_the_guide_s_package_from_a_private_index_saves_beside_itself",
    "docker build --file docker/Dockerfile *": ENGINE
    + "test_private_index.py::test_a_build_has_the_package_and_the_password_is_nowhere",
    # more than one machine
    "docker compose run --rm app predict.py": RAY + "test_the_script_runs_on_one_machine_without_a_cluster",
    # by tests/test_cluster.py of the project
    "docker compose run --rm app train.py": RAY + "test_the_project_s_own_tests_pass",
    "echo RAY_HEAD=10.0.0.1 >> .env": "not run: writes the address that the tests give in the environment",
    "ssh second *": "not run: ssh's own way to run a command on another machine",
    "image=$(docker compose config --images app)": CHARLIECLOUD,
    "docker tag *": REGISTRY,
    "docker push *": REGISTRY,
    "docker pull *": REGISTRY,
    "sbatch docker/slurm.sh doctor": ENGINE
    + "test_slurm.py::test_the_doctor_names_what_is_read_only_and_apptainer_s_option",
    "sbatch --array=0-3 *": ENGINE + "test_slurm.py::test_an_array_reads_each_picture_once",
    "sbatch --signal=B:USR1@120 *": ENGINE
    + "test_slurm.py::test_a_time_limit_saves_and_requeues_and_a_stop_ends_clean",
    "scancel *": ENGINE + "test_slurm.py::test_a_time_limit_saves_and_requeues_and_a_stop_ends_clean",
    'mkdir -p "$SCRATCH/my-project" *': ENGINE
    + "test_slurm.py::test_the_cache_and_the_image_may_lie_on_scratch",
    'export CACHE_DIR="$SCRATCH/my-project"': ENGINE
    + "test_slurm.py::test_the_cache_and_the_image_may_lie_on_scratch",
    "export DATA_DIR=/mnt/data HF_TOKEN=…": HERE
    + "test_slurm_jobs.py::test_the_data_folder_of_the_shell_is_read_only_at_data",
    "docker run --rm --entrypoint env *": CHARLIECLOUD,
    "container=$(docker create *": CHARLIECLOUD,
    "docker export *": CHARLIECLOUD,
    "ch-convert *": CHARLIECLOUD,
    "ch-run *": CHARLIECLOUD,
    "enroot *": "not run: no Enroot in the package registries; " + NEEDS_GPU + "the page says so",
    "srun *": "not run: no Enroot in the package registries; the page says so",
}
ALL = {**SHARED, **COMMANDS}
