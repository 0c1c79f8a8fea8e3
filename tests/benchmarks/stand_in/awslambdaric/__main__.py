from __future__ import annotations

import http.client
import importlib
import json
import os
import sys

API = "/2018-06-01/runtime/invocation"


def main(handler: str) -> None:
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    module, _, name = handler.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        connection.request("GET", f"{API}/next")
        response = connection.getresponse()
        event = json.loads(response.read())
        answer = json.dumps(function(event, None))
        request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
        connection.request("POST", f"{API}/{request_id}/response", answer)
        connection.getresponse().read()


if __name__ == "__main__":
    main(sys.argv[1])
