"""Which test runs a command of the documentation: the pages' commands are compared with this list.

A key is a command as a page has it; ` *` at its end stands for any arguments. A value names a test as
FILE::FUNCTION, or says why no test runs it.
"""

ENGINE = "tests/engine/"
HERE = "tests/generation/"
CONTAINER = "tests/devcontainer/test_devcontainer.py::"
NEEDS_GPU = "not run: needs an NVIDIA GPU; "
LONG_RUNS = ENGINE + "test_long_runs.py::"
SLURM = ENGINE + "test_slurm.py::test_the_lines_of_the_template_s_own_page_run_as_they_are_typed"
MAINTAINER = "not run: a target of the Makefile that runs other tests or takes long"

COMMANDS = {
    # a project from the template: run for each page below
    "uvx cookiecutter gh:org/capy-template *": HERE + "test_docs.py::test_each_cookiecutter_command_works",
    "uvx cookiecutter gh:org/capy-template --checkout *": HERE
    + "test_updates.py::test_cruft_writes_what_cookiecutter_writes",
    "uvx cookiecutter gh:org/capy-template --replay": HERE
    + "test_answer_sources.py::test_a_good_replay_file_gives_the_same_project",
    "uvx cruft create *": HERE + "test_updates.py::test_cruft_writes_what_cookiecutter_writes",
    "uvx cruft link *": HERE + "test_updates.py::test_a_project_of_plain_cookiecutter_is_linked_later",
    "uvx cruft update": HERE
    + "test_updates.py::test_an_update_brings_the_template_s_changes_and_keeps_the_owner_s",
    "uvx cruft update --variables-to-update *": HERE + "test_updates.py::test_answers_are_changed_later",
    "cd my-project": ENGINE + "test_first_run.py::test_the_first_command_after_cookiecutter_needs_no_setting",
    # running
    "docker compose run --rm app script.py": ENGINE
    + "test_first_run.py::test_the_first_command_after_cookiecutter_needs_no_setting",
    "docker compose run --rm app doctor": ENGINE + "test_doctor.py::test_healthy_environments_raise_no_alarm",
    "docker compose build": ENGINE + "test_ci.py::test_every_step_passes_on_the_first_push",
    "ls -l outputs": ENGINE + "test_first_run.py::test_the_picture_belongs_to_whoever_owns_the_project",
    "USER_ID=1234 GROUP_ID=5678 docker compose run --rm app script.py": ENGINE
    + "test_entrypoint_ids.py::test_root_becomes_the_wanted_user",
    "docker compose run --rm --cap-add ALL -e USER_ID=0 app": ENGINE
    + "test_planted_settings.py::test_a_root_shell_that_is_asked_for_on_the_command_line_is_given",
    "docker exec -it CONTAINER entrypoint": ENGINE
    + "test_entrypoint_commands.py::test_it_starts_commands_in_a_running_container_too",
    "docker exec CONTAINER entrypoint *": ENGINE
    + "test_root_runs.py::test_docker_exec_with_the_entrypoint_is_the_user_with_the_environment",
    "docker run --rm -it --gpus all *": ENGINE + "test_gpu.py::test_plain_docker_run_with_gpus_keeps_working",
    "sh docker/write-env.sh": HERE + "test_accelerator.py::test_the_choice_is_right_for",
    "ACCELERATOR=cpu docker compose run --rm app script.py": ENGINE
    + "test_gpu.py::test_accelerator_cpu_asks_the_hook_for_nothing",
    "GPU_IDS=1 docker compose run --rm app script.py": ENGINE
    + "test_gpu.py::test_the_chosen_gpus_reach_nvidia_s_hook",
    "nvidia-smi": NEEDS_GPU + "prints the driver's version",
    "docker run --rm --gpus all ubuntu nvidia-smi": NEEDS_GPU + "NVIDIA's own check of its toolkit",
    "mkdir -p outputs": ENGINE + "test_guarded.py::test_what_it_writes_to_outputs_is_the_owner_s",
    "docker compose -f compose.guarded.yaml run --rm app script.py": ENGINE
    + "test_guarded.py::test_what_it_writes_to_outputs_is_the_owner_s",
    "docker compose run --rm app grep -E *": ENGINE
    + "test_image_contents.py::test_the_commands_of_the_security_page",
    "docker compose run --rm app uv export *": ENGINE
    + "test_image_contents.py::test_the_commands_of_the_security_page",
    "BUILDX_METADATA_PROVENANCE=max docker buildx bake *": ENGINE
    + "test_image_contents.py::test_the_commands_of_the_security_page",
    "ACCELERATOR=nvidia docker compose build deploy": ENGINE
    + "test_deploy.py::test_an_image_for_a_gpu_is_built_without_one",
    "docker compose build deploy": ENGINE + "test_deploy.py::test_it_starts_by_itself_on_a_read_only_system",
    "docker run --rm --read-only --tmpfs /tmp --gpus all *": ENGINE
    + "test_deploy.py::test_the_commands_of_the_readme_ship_it",
    '-v "$PWD/outputs":/code/outputs *': ENGINE + "test_deploy.py::test_the_commands_of_the_readme_ship_it",
    # long runs
    "docker compose run --detach *": LONG_RUNS + "test_it_goes_on_after_each_reboot_until_it_has_ended",
    "docker update --restart on-failure:5 training": LONG_RUNS
    + "test_it_goes_on_after_each_reboot_until_it_has_ended",
    "docker logs --follow training": LONG_RUNS + "test_it_goes_on_after_each_reboot_until_it_has_ended",
    "docker wait training": LONG_RUNS + "test_it_goes_on_after_each_reboot_until_it_has_ended",
    "docker stop training && docker rm training": LONG_RUNS
    + "test_one_that_was_stopped_comes_back_unless_it_is_removed",
    # packages
    "docker compose run --rm app uv add NAME": ENGINE
    + "test_added_packages.py::test_the_guide_s_own_package_is_added_and_built_and_starts_as_anybody",
    "docker compose run --rm app uv lock": ENGINE
    + "test_build.py::test_the_lock_file_is_made_by_the_documented_command_decides_and_is_guarded",
    "uv add git+https://…": ENGINE
    + "test_added_packages.py::test_packages_from_git_and_from_a_folder_of_the_project_are_in_the_build",
    "uv add --no-workspace ./libs/NAME": ENGINE
    + "test_added_packages.py::test_packages_from_git_and_from_a_folder_of_the_project_are_in_the_build",
    "docker compose run --rm app uv add --no-sync NAME": ENGINE
    + "test_added_packages.py::test_a_package_that_cannot_be_installed_changes_nothing_and_the_build_can",
    "docker compose run --rm app uv add --editable ./libs/NAME": ENGINE
    + "test_added_packages.py::test_a_folder_without_a_lock_file_is_told_what_to_do",
    "docker compose run --rm app uv remove NAME": HERE
    + "test_uv.py::test_uv_keeps_what_the_accelerator_chose",
    "docker compose run --rm app uv add --index private NAME": ENGINE
    + "test_dependency_confusion.py::test_a_package_that_a_private_one_needs_is_safe_where_it_is_named",
    "export PYPI_ACCOUNT=you *": ENGINE
    + "test_private_index.py::test_a_build_has_the_package_and_the_password_is_nowhere",
    "PIP_CONF=~/.config/pip/pip.conf docker compose build": ENGINE
    + "test_private_index.py::test_a_build_has_the_package_and_the_password_is_nowhere",
    "NETRC=~/.netrc docker compose build": ENGINE
    + "test_private_index.py::test_a_build_has_the_package_and_the_password_is_nowhere",
    # notebooks, the dev container
    "docker compose up jupyter": ENGINE
    + "test_notebook.py::test_the_printed_link_opens_and_a_cell_runs_as_the_user",
    "docker compose up tensorboard": ENGINE + "test_notebook.py::test_the_curves_of_the_training_show",
    "ssh -L 8888:127.0.0.1:8888 THE-MACHINE": "not run: ssh's own way to forward a port",
    'cp docker/hooks/pre-commit "$(git rev-parse --git-path hooks)/"': "tests/devcontainer/test_git.py::"
    "test_the_hook_checks_commits_on_either_side",
    "npx @devcontainers/cli up *": CONTAINER + "test_it_opens_as_the_image_s_user_in_the_project",
    "npx @devcontainers/cli exec *": CONTAINER + "test_the_tests_pass_in_it",
    # more than one machine
    "sh docker/ray-token.sh": HERE + "test_scale_out.py::test_a_token_is_long_and_only_its_owner_may_read_it",
    # on one machine only its addresses can be checked; the cluster itself is compose.ray.local.yaml's
    "docker compose -f compose.ray.yaml *": HERE
    + "test_scale_out.py::test_the_machines_of_a_cluster_meet_at_the_head_s_address",
    "docker compose -f compose.ray.local.yaml *": ENGINE
    + "test_ray.py::test_all_machines_of_a_cluster_read_a_part_of_the_pictures",
    "kubectl apply --kustomize *": HERE + "test_scale_out.py::test_kubernetes_knows_every_field",
    "docker save *": SLURM,
    "apptainer *": SLURM,
    "sbatch *": SLURM,
    **dict.fromkeys(
        [
            *("#!/bin/bash", "#SBATCH *", "unset PYTHONPATH *", "export PYTHONNOUSERSITE=1", "trap 'kill *"),
            "export APPTAINERENV_TMPDIR=/tmp",
            *("container=$!", 'wait "$container"'),
        ],
        SLURM,
    ),
    # a script, run as it stands
    **dict.fromkeys(
        [
            *("#!/bin/sh", "CDPATH='' cd *", "trap 'docker stop *", "wait; wait"),
            *("run=$(docker compose run --detach app script.py) || exit", 'docker logs --follow "$run" &'),
            *('code=$(docker wait "$run")', 'docker rm "$run" > /dev/null', 'exit "$code"'),
        ],
        ENGINE + "test_supervisor.py::test_the_signal_reaches_the_script_whose_exit_code_comes_back",
    ),
    # this repository
    "make demo": MAINTAINER,
    "make test *": MAINTAINER,
    "make test-all *": MAINTAINER,
    "make lint": HERE + "test_prose.py::test_the_lint_target_runs_every_check",
    "make bench *": ENGINE + "test_benchmarks.py::test_a_run_prints_every_value_and_leaves_nothing",
    "make check-compatibility": HERE
    + "test_check_compatibility.py::test_an_index_that_has_every_line_is_found_to_agree",
    "make gpu-check-pack *": HERE + "test_gpu_check.py::test_the_pieces_are_put_together_again",
    "make gpu-check PYTHON=/path/to/python3": NEEDS_GPU + "without one: test_gpu_check.py",
    "make docs": HERE + "test_compatibility.py::test_docs_compatibility_md_is_fresh",
    "make packages": HERE
    + "test_packages_page.py::test_a_package_is_tried_in_every_line_and_its_library_is_named",
    "make pictures": MAINTAINER,
    "make lock": MAINTAINER,
    "make engine-stop": ENGINE + "test_engine_tool.py::test_down_leaves_nothing_running",
}
