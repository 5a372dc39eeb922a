"""Pins the base images of deploy/ by digest: what is pulled later is what is there today.

Run it by ``make pin-images`` on a machine with docker, its buildx, and a way to the registries; a
second run takes what the same tags mean by then. It changes nothing unless every image was found.
With ``--which`` it only says which are not pinned, as `make deploy-lint` does.
"""

import re
import subprocess
import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
FILES = ("Dockerfile", "compose.yaml", "kubernetes/fundarb.yaml")
IMAGE = re.compile(
    r"(?P<before>^FROM |image: )(?!fundarb:)"
    r"(?P<name>[\w./-]+:[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?",
    re.MULTILINE,
)


def digest_of(name: str) -> str:
    """Of the list of all its platforms, as the registry has it now."""
    command = [
        "docker",
        "buildx",
        "imagetools",
        "inspect",
        name,
        "--format",
        "{{.Manifest.Digest}}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit("error: there is no docker here, which asks the registries")
    digest = done.stdout.strip()
    if done.returncode or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        why = (done.stderr.strip().splitlines() or ["no digest came back"])[-1]
        sys.exit(f"error: {name}: docker buildx says: {why}")
    return digest


def pinned(text: str, digests: dict[str, str]) -> str:
    return IMAGE.sub(lambda m: f"{m['before']}{m['name']}@{digests[m['name']]}", text)


def unpinned(deploy: Path) -> list[str]:
    """The base images that a registry may change under their names."""
    texts = [(deploy / name).read_text("utf-8") for name in FILES]
    return sorted({m["name"] for text in texts for m in IMAGE.finditer(text) if not m["digest"]})


def main(deploy: Path) -> None:
    texts = {deploy / name: (deploy / name).read_text("utf-8") for name in FILES}
    names = sorted({m["name"] for text in texts.values() for m in IMAGE.finditer(text)})
    digests = {name: digest_of(name) for name in names}
    for path, text in texts.items():
        path.write_text(pinned(text, digests), "utf-8")
    for name, digest in digests.items():
        print(f"{name}@{digest}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--which"]:
        if loose := unpinned(DEPLOY):
            print(f"not pinned by digest, `make pin-images` does: {', '.join(loose)}")
    else:
        main(DEPLOY)
