"""The benchmarks run and count correctly; no test here checks a duration."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.arrangement import token_event
from benchmarks.calls import Trace, expected, model
from benchmarks.environments import BUILD, ROOT
from benchmarks.lambda_runtime import start
from benchmarks.load import ask, post
from benchmarks.peers import Peer, cpu_ms, running, turn
from benchmarks.region import TOKEN, Region, client, environment, serving
from chalicelib.credentials import SecretHasher
from tests.contract.loopback import Loopback, answer


def run(name: str, out: Path) -> dict[str, Any]:
    """Run the benchmark *name* in its quick mode; return its results."""
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "bar " in done.stdout
    found: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    assert found["quick"] is True
    assert {"at", "cpu", "python", "load_average"} <= found["machine"].keys()
    return found


def test_a_warm_exchange_hashes_nothing_and_opens_no_socket(tmp_path: Path) -> None:
    found = run("warm", tmp_path)
    assert {"no_op", "exchange", "exchange_with_telemetry"} == found["subjects"].keys()
    for crowd in found["crowds"]:
        assert (crowd["argon2"], crowd["sockets"], crowd["requests"]) == (0, 0, 0)
        # A count of all blocks of the interpreter, most of which are not the application's.
        assert crowd["blocks_left_allocated_per_exchange"] < 1


def test_junk_requests_are_refused_and_leave_bounded_memory(tmp_path: Path) -> None:
    found = run("junk", tmp_path)
    assert found["flood"]["guesses_refused"] > 0
    repeated = found["repeated"]
    assert (repeated["argon2_at_first"], repeated["argon2_again"]) == (repeated["attempts"], 0)
    regional, whole = (each["allocated_blocks"] for each in found["memory"])
    distinct = found["memory"][1]["distinct_requests"] - found["memory"][0]["distinct_requests"]
    assert whole - regional < distinct / 4, "more than a stray block here and there"


def test_the_verifier_is_measured_against_plain_pyjwt(tmp_path: Path) -> None:
    found = run("verifier", tmp_path)
    assert found["subjects"]["pyjwt_with_the_key_at_hand"]["ratio_to_pyjwt_with_the_key_at_hand"]
    assert "verifier_all_checks" in found["subjects"]


def test_the_trigger_is_measured_cold_and_adds_the_claim_to_the_token(
    tmp_path: Path,
) -> None:
    found = run("trigger", tmp_path)
    assert {"empty", "imports", "first_token", "warm_token"} <= found["subjects"].keys()


def test_cold_start_runs_the_function_as_lambda_does_and_times_its_first_token() -> None:
    """The clients of the Runtime API and of AWS are stand-ins here; `cold` takes AWS's own."""
    region = Region()
    issued, record = client(SecretHasher(secrets.token_bytes))
    region.add(record)
    stand_in = Path(__file__).parent / "stand_in"
    with serving(region) as server:
        environ = {**environment(server.url), "PYTHONPATH": f"{ROOT}:{stand_in}"}
        started = start(Path(sys.executable), ROOT, token_event(issued), environ)
    assert started.answer["statusCode"] == 200
    assert json.loads(started.answer["body"])["access_token"] == TOKEN
    assert 0 < started.ready_ms < started.answered_ms
    assert started.cpu_ms > 0


def test_a_failed_function_start_reports_its_reason(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("raise RuntimeError('it is broken')")
    stand_in = Path(__file__).parent / "stand_in"
    environ = {**environment("http://127.0.0.1:9"), "PYTHONPATH": str(stand_in)}
    with pytest.raises(RuntimeError, match="it is broken"):
        start(Path(sys.executable), tmp_path, {}, environ)


def test_a_peer_is_stopped_and_its_wrong_answers_are_reported(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "http.server", "$PORT", "--bind", "127.0.0.1"]
    peer = Peer([*command, "--directory", str(tmp_path)], {}, requests=1)
    issued, _ = client(SecretHasher(secrets.token_bytes))
    with running(peer) as server:
        assert cpu_ms(server.pid) > 0
        with pytest.raises(RuntimeError, match=r"answered HTTP/1\.0 501"):
            turn(server, issued, 1)
    assert not (Path("/proc") / str(server.pid)).exists()


@pytest.mark.parametrize(("closes", "connections"), [(False, 3), (True, 20)])
def test_the_load_has_the_requested_size_and_reuses_connections_where_allowed(
    closes: bool,  # noqa: FBT001
    connections: int,
) -> None:
    answers: list[bytes] = []
    headers = {"Connection": "close"} if closes else {}
    with Loopback(lambda _: answer(200, {"a": "b"}, **headers)) as server:
        request = post("/x", {"Accept": "*/*"}, "body")
        taken = ask(server.port, request, 20, connections=3, check=answers.append)
        assert server.connections == connections
    assert [seen.body for seen in server.seen] == [b"body"] * 20
    assert len(taken) == len(answers) == 20
    assert all(seconds > 0 for seconds in taken)
    assert all(each.endswith(b'{"a": "b"}') for each in answers)


def test_a_failed_peer_start_reports_its_reason() -> None:
    peer = Peer([sys.executable, "-c", "raise SystemExit('no such thing')"], {}, requests=1)
    with pytest.raises(RuntimeError, match="no such thing"), running(peer):
        pass


def test_the_call_counts_are_those_of_the_exchange(tmp_path: Path) -> None:
    found = run("calls", tmp_path)
    assert found["agrees"] is True
    asked = found["without_reuse_per_exchange"]
    assert (asked["cognito"], asked["secrets_manager"], asked["argon2"]) == (1, 2, 1)
    for trace in found["traces"]:
        assert trace["asked_cognito"] < trace["asked_exchanges"]
        assert trace["asked_argon2"] <= trace["clients"] * trace["containers"]
        assert trace["month_usd"]["all"] < trace["month_usd_without_reuse"]["all"]


def test_a_trace_is_the_same_in_every_run() -> None:
    trace = Trace(clients=7, containers=3, hours=1, per_hour=30)
    assert [*trace.requests()] == [*trace.requests()]
    assert model(trace) == model(trace)


def test_the_expected_rate_of_a_warm_fleet_agrees_with_the_model() -> None:
    clients, containers, per_hour = 40, 10, 60
    minutes = model(Trace(clients, containers, 12, per_hour))
    steady = minutes[4 * 60 :]
    found = sum(steady) / len(steady) / 60
    assert found == pytest.approx(expected(clients, containers, per_hour), rel=0.15)


def test_admin_calls_grow_with_the_size_of_the_request(tmp_path: Path) -> None:
    found = run("scale", tmp_path)
    few, many = found["sizes"]
    assert few["enroll"]["calls"] == many["enroll"]["calls"]
    growth = many["clients"] / few["clients"]
    assert many["reconcile"]["calls"] <= few["reconcile"]["calls"] * growth


def test_an_unknown_benchmark_is_named() -> None:
    command = [sys.executable, "-m", "benchmarks", "cool"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cool" in done.stderr


@pytest.mark.parametrize("quick", [True, False])
def test_a_quick_run_does_not_replace_stored_results(quick: bool) -> None:  # noqa: FBT001
    from benchmarks.__main__ import where  # noqa: PLC0415
    from benchmarks.report import RESULTS  # noqa: PLC0415

    assert where(None, quick=quick) == (BUILD if quick else RESULTS)
