{% if cookiecutter.__exports %}
"""Train a digit classifier and export it: python script.py [--epochs N] [--output DIR]"""
{% else %}
"""Train a classifier of handwritten digits: python script.py [--epochs N] [--output DIR]"""
{% endif %}

import argparse
import sys
from pathlib import Path

import cv2
import torch

{% if cookiecutter.__exports %}
from {{ cookiecutter.__package }} import digits, exported, runtime, stopping, training
{% else %}
from {{ cookiecutter.__package }} import digits, stopping, training
{% endif %}
from {{ cookiecutter.__package }}.errors import in_one_line
from {{ cookiecutter.__package }}.files import write_whole

HERE = Path(__file__).resolve().parent
{% if cookiecutter.__exports %}
TIMES = 20  # all test digits, to have enough work for a GPU
{% endif %}


def main() -> None:
    args = parse_arguments()
    stopping.catch_signals()
    try:
        with in_one_line("script.py"):
            run(args.epochs, args.output)
    except KeyboardInterrupt:
        code = stopping.exit_code()
        print(f"script.py: stopped; {saved_state(args.output)}", file=sys.stderr)
        sys.exit(code)


def run(epochs: int, output: Path) -> None:
{% if cookiecutter.__exports %}
    weights, picture, model = (output / f"digits.{suffix}" for suffix in ("pt", "png", "onnx"))
{% else %}
    weights, picture = output / "digits.pt", output / "digits.png"
{% endif %}
    device = training.choose_device()
    train, test = (part.to(device) for part in digits.load())
    network = training.run(weights, epochs, train, test)

{% if cookiecutter.__exports %}
    exported.export(network, model)
    session = runtime.open_session(model)
    scores = runtime.score(session, test.images.cpu().numpy())
    difference = exported.difference(scores, network, test.images)
    speed = compare(model, session.get_providers()[0], test.images)

{% endif %}
    read = digits.score(network, test.images).argmax(dim=1)
    write_whole(picture, cv2.imencode(".png", digits.draw(test, read))[1].tobytes())
    print(f"device    {torch.cuda.get_device_name() if device.type == 'cuda' else 'CPU'}")
    print(f"accuracy  {digits.accuracy(network, test):.2%} of {len(test.labels)} test digits")
    print(f"weights   {weights}")
    print(f"picture   {picture}")
{% if cookiecutter.__exports %}
    print(f"model     {model}")
    print(f"provider  {session.get_providers()[0]}")
    print(f"differs   from PyTorch on the CPU by {difference:.1e} at most")
    print(f"speed     {speed}")
{% endif %}


{% if cookiecutter.__exports %}
def compare(model: Path, provider: str, images: torch.Tensor) -> str:
    """Return how long many digits take on the CPU, and on the GPU if `provider` is one."""
    many = images.cpu().repeat(TIMES, 1, 1, 1).numpy()
    on_cpu = runtime.milliseconds(model, runtime.CPU, many)
    text = f"{len(many)} digits: CPU {on_cpu:.2f} ms"
    if provider == runtime.CPU:
        return text
    on_gpu = runtime.milliseconds(model, provider, many)
    return f"{text}, GPU {on_gpu:.2f} ms, {on_cpu / on_gpu:.1f} times as fast"


{% endif %}
def parse_arguments() -> argparse.Namespace:
{% if cookiecutter.__exports %}
    parser = argparse.ArgumentParser(description="Train a digit classifier and export it as ONNX.")
{% else %}
    parser = argparse.ArgumentParser(description="Train a classifier of handwritten digits.")
{% endif %}
    parser.add_argument(
        "--epochs", metavar="N", type=at_least_one, default=20, help="epochs to train (default: 20)"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="result folder (default: outputs)"
    )
    # Relative to this file, so that the script works from any folder.
    parser.set_defaults(output=HERE / "outputs")
    args = parser.parse_args()
    args.output = short(args.output)
    return args


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 or more")
    return int(text)


def saved_state(output: Path) -> str:
    weights = output / "digits.pt"
    if not weights.exists():
        return "nothing was saved yet; the same command starts again"
    return f"all finished epochs are in {weights}; the same command continues from there"


def short(path: Path) -> Path:
    """Return `path` relative to the current folder if it is inside it."""
    path = path.absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    main()
