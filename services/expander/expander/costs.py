"""What the LLM costs: tokens, their price, and what kept expansions save of both. Knows nothing of who asks.

All numbers are since the start of this process. Over a time and over replicas Prometheus tells the cost of 1,000 expansions:
`1000 * sum(rate(expander_llm_cost_total[1h])) / sum(rate(expander_llm_answers_total[1h]))`.
"""

from collections.abc import Mapping

from expander.metrics import LlmMetrics
from expander.readings import Completion
from expander.settings import Price

ANY_MODEL = "*"


class Costs:
    """Counts for `model` by its price in `prices`, else that of `*`, else none."""

    def __init__(self, prices: Mapping[str, Price], model: str, metrics: LlmMetrics) -> None:
        self._price = prices.get(model) or prices.get(ANY_MODEL) or Price()
        self._metrics, self._cost, self._answers = metrics, 0.0, 0

    def spent(self, completion: Completion) -> None:
        """One call was answered, acceptably or not. Tokens that the server did not count can not be counted here."""
        cost = self._of(completion.prompt_tokens, completion.completion_tokens)
        self._metrics.tokens.labels("prompt").inc(completion.prompt_tokens)
        self._metrics.tokens.labels("completion").inc(completion.completion_tokens)
        self._metrics.cost.inc(cost)
        self._cost += cost
        self._show()

    def answered(self) -> None:
        """One question has its acceptable answer."""
        self._metrics.answers.inc()
        self._answers += 1
        self._show()

    def saved(self, tokens: int, completion_tokens: int = 0) -> None:
        """An answer was kept that took `tokens` to make, `completion_tokens` of them written by the LLM."""
        read = tokens - completion_tokens
        self._metrics.saved_tokens.labels("prompt").inc(read)
        self._metrics.saved_tokens.labels("completion").inc(completion_tokens)
        self._metrics.saved_cost.inc(self._of(read, completion_tokens))

    def _of(self, prompt_tokens: int, completion_tokens: int) -> float:
        price = self._price
        return (prompt_tokens * price.prompt_per_million + completion_tokens * price.completion_per_million) / 1_000_000

    def _show(self) -> None:
        if self._answers:
            self._metrics.cost_per_thousand.set(1_000 * self._cost / self._answers)
