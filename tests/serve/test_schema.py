"""What `/openapi.json` says is what is done: requests made from it meet no surprise."""

import copy
import json
import urllib.request

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from small_server import NAME, served, small_service, wait_until

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
PATHS = {
    "/": ["get"],
    "/health": ["get"],
    "/llmcourse/next": ["post"],
    "/metrics": ["get"],
    "/v1/chat/completions": ["post"],
    "/v1/completions": ["post"],
    "/v1/models": ["get"],
    "/v1/models/{model}": ["get"],
}


@pytest.fixture(scope="module")
def server():
    with served(small_service()) as found:
        yield found


@pytest.fixture(scope="module")
def schema(server):
    with urllib.request.urlopen(f"{server.url}/openapi.json", timeout=30) as answer:
        return json.load(answer)


def test_it_names_every_path_and_how_each_can_end(schema):
    assert {path: list(found) for path, found in sorted(schema["paths"].items())} == PATHS
    for path in ("/v1/completions", "/v1/chat/completions"):
        answers = schema["paths"][path]["post"]["responses"]
        assert set(answers) == {"200", "400", "401", "403", "404", "408", "413", "429", "500",
                                "503", "504"}  # fmt: skip
        assert set(answers["200"]["content"]) == {"application/json", "text/event-stream"}
        error = answers["400"]["content"]["application/json"]["schema"]["$ref"]
        assert error.endswith("/ErrorAnswer")


def try_out(server, schema, path, method):
    """Make requests from a schema, right ones and wrong ones, and check the answers by it."""
    loaded = schemathesis.openapi.from_dict(schema)
    loaded.config.update(base_url=server.url)
    modes = [schemathesis.GenerationMode.POSITIVE]
    modes += [schemathesis.GenerationMode.NEGATIVE] * (method == "post")
    for mode in modes:

        @settings(
            max_examples=25, deadline=None, database=None, derandomize=True,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=loaded[path][method.upper()].as_strategy(generation_mode=mode))
        def ask(case):
            # By chance no request would ever name the model that is there, nor be a chat.
            is_right = mode is schemathesis.GenerationMode.POSITIVE  # noqa: B023
            if is_right and isinstance(case.body, dict) and len(repr(case.body)) % 2:
                case.body.update({"model": NAME} if "model" in case.body else {})
                if "/chat/" in path:
                    case.body["messages"] = [{"role": "user", "content": "Hi"}]
                if path == "/llmcourse/next":
                    case.body = {"prompt": "Tom", "top": case.body.get("top", 10)}
            case.call_and_validate(checks=CHECKS, timeout=30)

        ask()


@pytest.mark.parametrize(
    ("path", "method"), [(path, method) for path, methods in PATHS.items() for method in methods]
)
def test_no_request_made_from_it_is_a_surprise(server, schema, path, method, unchecked):
    try_out(server, schema, path, method)
    for status in ("200", "400")[: 1 + (method == "post")]:
        if "{" not in path:  # a model's name is drawn, and hardly ever right
            labels = {"path": path, "status": status}
            # A request is counted once its answer is out.
            wait_until(lambda: server.figure("llmcourse_requests_total", **labels))  # noqa: B023


@pytest.mark.parametrize("status", ["400", "404"])
def test_an_answer_that_it_does_not_name_would_be_noticed(server, schema, status, unchecked):
    lying = copy.deepcopy(schema)
    del lying["paths"]["/v1/completions"]["post"]["responses"][status]
    with pytest.raises(BaseException, match=f"Received: {status}"):
        try_out(server, lying, "/v1/completions", "post")
