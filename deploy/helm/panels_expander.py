"""The panels of the expander and of the LLM behind it. Knows nothing of how they are drawn."""

from panels import graph, of, pods, quantiles, rate, share, traffic

EVERY_NODE = "Of neuron-monitor, for every Neuron node of the cluster."
EXPANSIONS = rate("expander_expansions_total", "expander")

EXPANDER = (
    *traffic("expander", "/v1/expand"),
    graph("Expansions", "reqps", (rate("expander_expansions_total", "expander", "source, outcome"), "{{source}} {{outcome}}")),
    graph(
        "Looked up in the cache",
        "percentunit",
        (
            share(rate("expander_cache_lookups_total", "expander", "tier, found"), rate("expander_cache_lookups_total", "expander")),
            "{{tier}} {{found}}",
        ),
    ),
    graph(
        "Tasks",
        "short",
        (f"sum by (pod) (expander_tasks{of('expander')})", "{{pod}}"),
        says="Of the event loop: calls, waits and requests. A number that only rises is a leak.",
    ),
    graph("Kept in memory", "short", (f"sum by (pod) (expander_cache_entries{of('expander')})", "{{pod}}")),
    graph(
        "What the store of expansions does not do",
        "reqps",
        (rate("expander_cache_store_failures_total", "expander", "operation, reason"), "{{operation}} {{reason}}"),
        (rate("expander_cache_waits_total", "expander", "outcome"), "another replica made it: {{outcome}}"),
    ),
    graph(
        "Calls to the LLM",
        "reqps",
        (rate("expander_llm_calls_total", "expander", "outcome"), "{{outcome}}"),
        (rate("expander_llm_unsent_total", "expander", "reason"), "not sent: {{reason}}"),
    ),
    graph("Time of a call", "s", *quantiles("expander_llm_seconds", "expander")),
    graph("Wait for a turn", "s", *quantiles("expander_llm_queue_wait_seconds", "expander", 'lane="live"'), says="Of what users ask."),
    graph(
        "What was found in answers",
        "reqps",
        (rate("expander_llm_readings_total", "expander", "cause"), "{{cause}}"),
        (rate("expander_invalid_answers_total", "expander"), "not acceptable"),
        (rate("expander_empty_expansions_total", "expander"), "no topics from anybody"),
    ),
    graph("Second calls", "reqps", (rate("expander_llm_retries_total", "expander", "kind, outcome"), "{{kind}} {{outcome}}")),
    graph(
        "At the LLM, and waiting",
        "short",
        (f"sum by (pod) (expander_llm_permits_in_use{of('expander')})", "asked {{pod}}"),
        (f"sum by (pod, lane) (expander_llm_queue_waiting{of('expander')})", "waiting {{lane}} {{pod}}"),
    ),
    graph(
        "Breaker",
        "short",
        (f"sum by (state) (expander_llm_breaker_state{of('expander')})", "{{state}}"),
        (rate("expander_llm_breaker_openings_total", "expander"), "openings a second"),
        says="Pods whose breaker is in each state; open leaves the LLM alone for seconds at a time.",
    ),
    graph(
        "Topics by what the catalogue calls them",
        "percentunit",
        (share(rate("expander_topics_total", "expander", "grounding"), rate("expander_topics_total", "expander")), "{{grounding}}"),
        says="Of new expansions. Much off_catalogue: the LLM talks past the catalogue.",
    ),
    graph(
        "Topics that mean the same",
        "reqps",
        (rate("expander_topic_comparisons_total", "expander", "outcome"), "expansions {{outcome}}"),
        (rate("expander_near_synonyms_total", "expander"), "topics left out"),
    ),
    graph(
        "JSON schema, by the canary",
        "short",
        (f"sum by (found) (expander_llm_structured_output{of('expander')})", "{{found}}"),
        says="Pods that found the schema honoured, ignored or refused; unknown until the LLM answers.",
    ),
    graph("Items enriched", "reqps", (rate("expander_enrichments_total", "expander", "outcome"), "{{outcome}}")),
    graph(
        "Cost per 1,000 expansions",
        "short",
        (f"1000 * {rate('expander_llm_cost_total', 'expander')} / {rate('expander_llm_answers_total', 'expander')}", "asked"),
        (f"1000 * {rate('expander_llm_cost_total', 'expander')} / {EXPANSIONS}", "answered, with what was kept"),
        (f"max by (pod) (expander_llm_cost_per_thousand_expansions{of('expander')})", "asked, since the start of {{pod}}"),
        says="In the currency of llm_prices; nothing without them.",
    ),
    graph(
        "Tokens a second",
        "short",
        (rate("expander_llm_tokens_total", "expander", "kind"), "spent {{kind}}"),
        (rate("expander_llm_saved_tokens_total", "expander", "kind"), "saved {{kind}}"),
        says="Saved: what kept expansions would have cost again.",
    ),
    graph(
        "Cost an hour",
        "short",
        (f"3600 * {rate('expander_llm_cost_total', 'expander')}", "spent"),
        (f"3600 * {rate('expander_llm_saved_cost_total', 'expander')}", "saved"),
    ),
    graph(
        "vLLM: requests",
        "short",
        (f"sum by (pod) (vllm:num_requests_running{of('llm')})", "running {{pod}}"),
        (f"sum by (pod) (vllm:num_requests_waiting{of('llm')})", "waiting {{pod}}"),
        says="Their sum is what the replicas scale on.",
    ),
    graph("vLLM: time to first token", "s", *quantiles("vllm:time_to_first_token_seconds", "llm")),
    graph("vLLM: time in the queue", "s", *quantiles("vllm:request_queue_time_seconds", "llm")),
    graph("vLLM: time of a request", "s", *quantiles("vllm:e2e_request_latency_seconds", "llm")),
    graph(
        "vLLM: tokens a second",
        "short",
        (rate("vllm:prompt_tokens_total", "llm"), "read"),
        (rate("vllm:generation_tokens_total", "llm"), "written"),
    ),
    graph("vLLM: why answers ended", "reqps", (rate("vllm:request_success_total", "llm", "finished_reason"), "{{finished_reason}}")),
    graph("vLLM: KV cache", "percentunit", (f"max by (pod) (vllm:kv_cache_usage_perc{of('llm')})", "{{pod}}")),
    graph(
        "Neuron: cores in use", "percentunit", ("avg by (instance_id) (neuroncore_utilization_ratio)", "{{instance_id}}"), says=EVERY_NODE
    ),
    graph(
        "Neuron: device memory",
        "bytes",
        ('sum by (instance_id) (neuron_runtime_memory_used_bytes{memory_location="neuron_device"})', "{{instance_id}}"),
        says=EVERY_NODE,
    ),
    *pods("expander"),
)
