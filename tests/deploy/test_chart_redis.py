"""The chart with the expansions in Redis: expanders are told where by a Secret, and reach that and nothing else besides the LLM."""

from tests.deploy.rendering import container, merged, objects, of_kind, pods, render, values_of

from pipelines.__main__ import _parser as parser

EXPANDER = "expander"
SECRET = {"existingSecret": "expansions"}


def test_expanders_alone_are_told_where_redis_is_by_reference() -> None:
    found = render({"redis": SECRET | {"key": "address"}})
    variable = {"name": "EXPANDER_CACHE_URL", "valueFrom": {"secretKeyRef": {"name": "expansions", "key": "address"}}}
    assert [component for component, pod in pods(found) if variable in container(pod).get("env", [])] == [EXPANDER]
    assert "EXPANDER_CACHE_URL" not in str(of_kind(found, "ConfigMap"))
    assert "EXPANDER_CACHE_URL" not in str(render({}))


def test_redis_and_an_external_llm_are_both_reached_and_both_keys_told() -> None:
    found = render(merged(values_of("external"), {"redis": SECRET | {"port": 6380}}))
    ports = [port["port"] for rule in of_kind(found, "NetworkPolicy")[EXPANDER]["spec"]["egress"] for port in rule["ports"]]
    assert ports == [8001, 8443, 6380, 53, 53]
    secrets = {one["name"] for one in container(dict(pods(found))[EXPANDER])["env"] if "secretKeyRef" in one.get("valueFrom", {})}
    assert secrets == {"EXPANDER_LLM_API_KEY", "EXPANDER_CACHE_URL"}


def test_redis_is_reached_where_the_values_say_and_by_nobody_else() -> None:
    there = [{"ipBlock": {"cidr": "10.2.0.0/16"}}]
    policies = of_kind(render({"redis": SECRET, "networkPolicy": {"redisTo": there}}), "NetworkPolicy")
    assert policies[EXPANDER]["spec"]["egress"][1] == {"ports": [{"port": 6379, "protocol": "TCP"}], "to": there}
    assert [name for name, policy in policies.items() if "6379" in str(policy)] == [EXPANDER]


def test_the_expander_asks_the_encoder_which_topics_are_near_or_mean_the_same() -> None:
    found = objects("default")
    assert "http://warmstart-encoder:8001" in str(of_kind(found, "ConfigMap")["expander"]["data"])
    assert "expander" in str(of_kind(found, "NetworkPolicy")["encoder"]["spec"]["ingress"])


def test_topics_are_made_ahead_of_traffic_by_a_job_that_reaches_gateway_and_expander() -> None:
    values = merged(values_of("external"), {"redis": SECRET, "cronJobs": {"precompute": {"enabled": True, "schedule": "5 4 * * *"}}})
    found = render(values)
    job = of_kind(found, "CronJob")["precompute"]["spec"]
    only = job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert job["schedule"] == "5 4 * * *"
    assert only["command"] == ["python", "-m", "pipelines", "precompute"]
    assert only["args"] == ["--gateway=http://warmstart-gateway:8000", "--expander=http://warmstart-expander:8002"]
    assert parser().parse_args([*only["command"][3:], *only["args"]]).expander == "http://warmstart-expander:8002"
    policies = of_kind(found, "NetworkPolicy")
    assert "precompute" in str(policies["expander"]["spec"]["ingress"])
    assert [rule["ports"][0]["port"] for rule in policies["precompute"]["spec"]["egress"]] == [8000, 8002, 53]
    assert "precompute" not in str(objects("external"))


def test_limits_and_prices_are_written_in_values_as_in_the_settings() -> None:
    settings = {"llm_limits": {"queue": 8, "concurrency": 4}, "llm_prices": {"*": {"prompt_per_million": 0.15}}}
    data = str(of_kind(render({"services": {EXPANDER: {"settings": settings}}}), "ConfigMap"))
    assert '{"concurrency":4,"queue":8}' in data
    assert '{"*":{"prompt_per_million":0.15}}' in data
