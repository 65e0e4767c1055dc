"""
Changes a shop's settings, as people do: with kubectl, or with `clarion` where there is no kubectl.

    python examples/kubernetes/changes.py                           Clarion's own API, at localhost:8001
    python examples/kubernetes/changes.py --kubeconfig FILE         a cluster
    python examples/kubernetes/changes.py --show                    only prints what it would change
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Who is there, and what happens to it; None: it is deleted.
STEPS = [
    ("basket", {"currency": "EUR", "max-items": "20"}),
    ("checkout", {"currency": "EUR", "payments": "on"}),
    ("checkout", {"currency": "EUR", "payments": "off"}),
    ("checkout", {"currency": "EUR", "payments": "on"}),
    ("greeting", {"text": "Welcome"}),
    ("greeting", None),
]


def main() -> None:
    """Make the changes, one after another."""
    parser = argparse.ArgumentParser(description="Changes a shop's settings.")
    parser.add_argument("--server", default="http://localhost:8001", help="Clarion's control port")
    parser.add_argument("--kubeconfig", help="of a cluster, instead")
    parser.add_argument("--show", action="store_true", help="print the changes instead")
    arguments = parser.parse_args()
    program, options = find(arguments.server, arguments.kubeconfig)
    for name, data in STEPS:
        if arguments.show:
            print(name, "deleted" if data is None else data)
        elif data is None:
            subprocess.run([program, "delete", "configmap", name, *options], check=True)
        else:
            command = [program, "apply", "-f", "-", *options]
            subprocess.run(command, input=config_map(name, data), text=True, check=True)


def find(server: str, kubeconfig: str | None) -> tuple[str, list[str]]:
    """The program that talks to the API server, and the options that say which."""
    kubectl = shutil.which("kubectl")
    if not kubeconfig:
        clarion = str(Path(sys.executable).with_name("clarion"))
        # No kubeconfig: what a person has in theirs is for another server.
        return (kubectl, ["--kubeconfig", os.devnull, "--server", server]) if kubectl else (
            clarion, ["--server", server])
    if kubectl is None:
        sys.exit("--kubeconfig needs kubectl on PATH")
    return kubectl, ["--kubeconfig", kubeconfig]


def config_map(name: str, data: dict[str, str]) -> str:
    """The object, as YAML's smaller sister."""
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
                       "metadata": {"name": name, "labels": {"app": "shop"}}})


if __name__ == "__main__":
    main()
