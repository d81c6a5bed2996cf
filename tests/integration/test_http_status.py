"""Models, voices, pools, config, readiness, docs, and the telemetry listener."""

from tests.integration.api import fast_engine, serving

from speechpool.errors import EngineUnavailable


async def test_models_are_the_pools():
    async with serving() as api:
        listed = (await api.http.get("/v1/models")).json()
        one = (await api.http.get("/v1/models/tts")).json()
    assert [model["id"] for model in listed["data"]] == ["tts", "stt"]
    assert one == listed["data"][0]
    assert (one["object"], one["owned_by"]) == ("model", "fake")


async def test_voices_and_what_openais_names_stand_for():
    async with serving() as api:
        everything = (await api.http.get("/v1/audio/voices")).json()
        german = (await api.http.get("/v1/audio/voices", params={"language": "de"})).json()
    assert [voice["id"] for voice in everything["voices"]] == ["one", "two"]
    assert everything["aliases"] == {"alloy": "one"}
    assert [voice["id"] for voice in german["voices"]] == ["two"]


async def test_pools_show_their_snapshots():
    async with serving() as api:
        pools = (await api.http.get("/v1/pools")).json()["data"]
        tts = (await api.http.get("/v1/pools/tts")).json()
    assert [pool["name"] for pool in pools] == ["tts", "stt"]
    assert tts["metrics"]["allocations_total"] == 0
    assert (tts["ready"], tts["warm_pool_size"], tts["warm_pool_target"]) == (True, 1, 1)


async def test_config_tells_where_values_come_from_and_no_secret():
    async with serving(environ={"SPEECHPOOL_LISTEN_TOKEN": "a-token-nobody-sees"}) as api:
        reply = await api.http.get("/v1/config")
    config = reply.json()
    assert config["generation"] >= 0
    assert "environment" in str(config["provenance"])
    assert "nobody-sees" not in reply.text


async def test_ready_once_warm_and_not_before():
    engine = fast_engine(open_error=EngineUnavailable("not installed"))
    async with serving(engine, is_ready=False) as api:
        before = await api.http.get("/readyz")
        engine.open_error = None
        assert before.status_code == 503
        assert before.json()["reasons"]
    async with serving() as api:
        after = await api.http.get("/readyz")
        telemetry = await api.telemetry.get("/readyz")
        api.service.start_draining()
        draining = await api.http.get("/readyz")
    assert (after.status_code, after.json()["ready"]) == (200, True)
    assert telemetry.status_code == 200
    assert draining.status_code == 503


async def test_probes():
    async with serving() as api:
        startup = await api.telemetry.get("/startupz")
        health = await api.telemetry.get("/healthz")
        lost = await api.telemetry.get("/v1/audio/voices")
    assert (startup.status_code, health.status_code, lost.status_code) == (200, 200, 404)


async def test_started_without_being_warm():
    """The application must start even where the engine never comes."""
    engine = fast_engine(open_error=EngineUnavailable("not installed"))
    async with serving(engine, {"SPEECHPOOL_STARTUP_WAIT": "0.05"}, is_ready=False) as api:
        assert await api.service.wait_started() is False
        startup = await api.telemetry.get("/startupz")
        ready = await api.telemetry.get("/readyz")
        refused = await api.http.post("/v1/audio/speech", json={"input": "Hello."})
    assert (startup.status_code, ready.status_code, refused.status_code) == (200, 503, 503)


async def test_metrics_count_requests_by_route_and_never_by_session():
    async with serving() as api:
        await api.http.put("/v1/sessions/secret-session")
        await api.http.get("/nothing-here")
        reply = await api.telemetry.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    assert 'route="/v1/sessions/{session_id}",status="201"' in reply.text
    assert 'route="unmatched",status="404"' in reply.text
    assert "secret-session" not in reply.text
    assert "nothing-here" not in reply.text


async def test_docs_need_nothing_from_elsewhere():
    async with serving() as api:
        page = await api.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text.replace("http://speechpool/", "")
    assert "https://" not in page.text
