"""Runs safety's own matching over a database of ours; a script for safety's environment, never imported by us.

``safety_driver.py REQUEST``: the request is ``{"database": folder, "pins": [[name, version], …]}``; printed is
``{"version": …, "checked": [[name, version], …], "vulnerabilities": [[name, version, id], …]}``. safety's command line
wants a login before it looks at anything, so this calls what the command line calls, ``safety.safety.check``. That
function is documented nowhere, which is why safety's version is pinned. Whatever it does unexpectedly ends in a
traceback and no output, which is a failure of the engine.
"""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class _Nobody:
    """Stands where safety expects somebody's login: there is none, and nothing is asked of its makers."""

    api_key = None
    http_client = None

    @staticmethod
    def get_authentication_type() -> None:
        return None

    @staticmethod
    def is_using_auth_credentials() -> bool:
        return False


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    version: str = importlib.import_module("importlib.metadata").version("safety")
    models: Any = importlib.import_module("safety.models")
    requirement: Any = importlib.import_module("safety.models").SafetyRequirement
    check: Any = importlib.import_module("safety.safety").check
    packages = [
        models.Package(name=name, version=pinned, requirements=[requirement(f"{name}=={pinned}")])
        for name, pinned in request["pins"]
    ]
    vulnerabilities, _ = check(
        auth=SimpleNamespace(platform=_Nobody()),
        packages=packages,
        db_mirror=request["database"],
        cached=0,
        ignore_vulns={},
        ignore_severity_rules={},
        include_ignored=True,
        is_env_scan=False,
        telemetry=False,
        params={},
    )
    answer = {
        "version": version,
        "checked": [[one.name, one.version] for one in packages],
        "vulnerabilities": [[one.package_name, one.analyzed_version, one.vulnerability_id] for one in vulnerabilities],
    }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
