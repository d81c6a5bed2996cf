"""`speechpool inject`: the injector's work by hand."""

import argparse
import dataclasses
import sys
from importlib.metadata import version
from pathlib import Path

from speechpool.errors import SettingsError, UsageError
from speechpool.settings.kinds import Refused
from speechpool_operator.injection.config import SETTINGS, InjectorConfig
from speechpool_operator.injection.config_file import read_file
from speechpool_operator.injection.manifests import ByHand, Changed, read_manifests, written
from speechpool_operator.injection.outcomes import Outcome

__all__ = ["configure", "run"]

DESCRIPTION = """\
Print manifests with a sidecar in every pod, for clusters without the injector: Pods, Deployments, StatefulSets,
DaemonSets, ReplicaSets, Jobs, CronJobs and Lists of them; what has no pod stays as it is. Pods with the label
speechpool.dev/inject: "false" get none; the annotations speechpool.dev/… hold as they do for the injector. Comments are
not kept."""

EPILOG = """\
examples:
  speechpool inject -f deployment.yaml | kubectl apply -f -
  kubectl get deployment voice -o yaml | speechpool inject -f - --image registry.example.org/speechpool/sidecar:1.0
  speechpool inject -f app/ --config sidecar.yaml > with-sidecars.yaml"""

_ENDINGS = (".yaml", ".yml", ".json")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `inject`."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add = parser.add_argument
    add(
        "-f",
        "--filename",
        action="append",
        required=True,
        metavar="FILE",
        help="file, directory, or - for stdin; again for more",
    )
    add("--config", type=Path, metavar="FILE", help="how sidecars are made, in YAML: the injector's own file")
    add("--image", metavar="IMAGE", help=f"the sidecar's image (default: the file's, else {_default_image()})")
    add("--operator", metavar="HOST:PORT", help="the operator that brings settings (default: the file's, else none)")
    add("--operator-ca", type=Path, metavar="FILE", help="certificates that vouch for it, in PEM (default: the pods "
        "wait for the ConfigMap speechpool-ca, which the operator writes)")  # fmt: skip
    add("-q", "--quiet", action="store_true", help="tell nothing on stderr but warnings and errors")


def run(args: argparse.Namespace) -> int:
    """Print the manifests.

    Raises:
        CannotInject: A file holds something else, or a pod that cannot have a sidecar; nothing is printed then.
        SettingsError: A setting is wrong.
        OSError: A file cannot be read.
    """
    config = _config(args)
    ca = args.operator_ca.read_text(encoding="ascii") if args.operator_ca else ""
    by_hand = ByHand(config, ca=ca)
    documents = [one for source, text in _texts(args.filename) for one in read_manifests(text, source)]
    sys.stdout.write(written([by_hand.document(one) for one in documents]))
    for one in by_hand.changed:
        _tell(one, is_quiet=args.quiet)
    return 0


def _default_image() -> str:
    return f"speechpool/sidecar:{version('speechpool')}"


def _config(args: argparse.Namespace) -> InjectorConfig:
    config = read_file(args.config) if args.config else InjectorConfig(image=_default_image())
    if args.image:
        config = dataclasses.replace(config, image=_read("image", args.image))
    if args.operator:
        config = dataclasses.replace(config, operator=_read("operator", args.operator))
    return config


def _read(name: str, value: str) -> str:
    kind = SETTINGS[name][1]
    try:
        read = kind.of_text(value.strip())
    except Refused:
        raise SettingsError(f"--{name} must be {kind.expected}; got {value[:200]!r}") from None
    return "" if read is None else str(read)


def _texts(names: list[str]) -> list[tuple[str, str]]:
    return [(source, _decoded(source, content)) for name in names for source, content in _contents(name)]


def _contents(name: str) -> list[tuple[str, bytes]]:
    if name == "-":
        return [("stdin", sys.stdin.buffer.read())]
    path = Path(name)
    if not path.is_dir():
        return [(name, path.read_bytes())]
    files = sorted(one for one in path.iterdir() if one.suffix in _ENDINGS and one.is_file())
    if not files:
        raise UsageError(f"{path} holds no file that ends in {', '.join(_ENDINGS)}")
    return [(str(one), one.read_bytes()) for one in files]


def _decoded(source: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{source} must be text in UTF-8") from None


def _tell(one: Changed, *, is_quiet: bool) -> None:
    for warning in one.injection.warnings if one.injection else ():
        print(f"{one.name}: warning: {warning}", file=sys.stderr)
    if not is_quiet:
        print(f"{one.name}: {_done(one)}", file=sys.stderr)


def _done(one: Changed) -> str:
    if one.injection is None:
        return "left as it is"
    match one.injection.outcome:
        case Outcome.INJECTED:
            return "sidecar added"
        case Outcome.OPTED_OUT:
            return "left as it is: its label says so"
        case _:
            return "left as it is: it has a sidecar"
