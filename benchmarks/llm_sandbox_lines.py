"""llm-sandbox in a process of its own, with the packages it needs: a line in is a call, a line out is its answer.

Run by the interpreter of the peers' environment. Arguments: image, containers in the pool, mounts as JSON, labels as
JSON. A line in is ``{"id": …, "kept": true|false, "code": …}``; ``kept`` calls use one session that stays open, the
others take a session from the pool and give it back.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from llm_sandbox import SandboxBackend  # type: ignore[import-not-found] # in the peers' environment
from llm_sandbox.pool import PoolConfig, PooledSandboxSession, create_pool_manager  # type: ignore[import-not-found]

_CLIENTS = 8


def main(image: str, containers: int, mounts: list[str], labels: dict[str, str]) -> None:
    pool = create_pool_manager(
        backend=SandboxBackend.DOCKER,
        # One more than asked for: the session that is kept open has a container to itself.
        config=PoolConfig(max_pool_size=containers + 1, min_pool_size=containers + 1, health_check_interval=3600),
        lang="python",
        image=image,
        # The image brings the interpreter where the pool expects it; the set-up would fetch pip from the network.
        skip_environment_setup=True,
        runtime_configs={"network_mode": "none", "volumes": mounts, "labels": labels},
    )
    writing = threading.Lock()
    kept = PooledSandboxSession(pool_manager=pool)
    kept.open()

    def answer(line: str) -> None:
        asked = json.loads(line)
        try:
            if asked["kept"]:
                out = kept.run(asked["code"])
            else:
                with PooledSandboxSession(pool_manager=pool) as session:
                    out = session.run(asked["code"])
            said = {"id": asked["id"], "exit": out.exit_code, "stdout": out.stdout, "stderr": out.stderr}
        except Exception as error:  # noqa: BLE001 - whoever asked hears what went wrong, and decides
            said = {"id": asked["id"], "exit": -1, "stdout": "", "stderr": repr(error)}
        with writing:
            print(json.dumps(said), flush=True)

    print(json.dumps({"ready": True}), flush=True)
    with ThreadPoolExecutor(_CLIENTS) as clients:
        for line in sys.stdin:
            clients.submit(answer, line)
    # Whoever started this removes the containers; closing the pool would wait ten seconds for each of them.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
