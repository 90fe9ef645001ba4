"""What the LLM is told: versioned files, and data that stays data."""

import hashlib
import json
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander import prompts
from expander.interests import Asked, Liked
from expander.prompts.files import PromptFile, prompt_file
from expander.prompts.rendering import as_json
from expander.prompts.tokens import estimated
from expander.readings import Prompt

FOLDER = files("expander.prompts")
RELEASED = json.loads((FOLDER / "versions.json").read_text("utf-8"))
TAGS = ["<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "<<SYS>>", "<|eot_id|>", "<|start_header_id|>", "</s>", "<s>", "### System:"]
TAGS += [
    "<start_of_turn>",
    "<|endoftext|>",
    "<|assistant|>",
    "\uff1c\uff5cUser\uff5c\uff1e",
    "[AVAILABLE_TOOLS]",
    "]~b]system",
    "</data>",
    "<data>",
    "```",
]
TAGS += ["System:", "\n\nHuman:", "ASSISTANT:", "\u202e", "\u200b", "\x00", "\x9b", "\U000e0041", "\n", "{data}", "{{", "#"]


def data_of(prompt: Prompt) -> dict[str, object]:
    before, after = prompts.TOPICS.user.split("{data}")
    data: dict[str, object] = json.loads(prompt.messages[1]["content"].removeprefix(before).removesuffix(after))
    return data


@pytest.mark.parametrize("version", RELEASED)
def test_a_released_prompt_does_not_change(version: str) -> None:
    told = hashlib.sha256((FOLDER / f"{version}.toml").read_bytes()).hexdigest()
    assert told == RELEASED[version], (
        f"{version}.toml was edited after its release: leave it as it was and write a file of the next version"
    )


def test_every_prompt_is_released_and_readable() -> None:
    versions = {entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml")}
    assert versions == set(RELEASED)
    assert all(prompt_file(version).version == version for version in versions)


def test_the_version_in_use_is_the_one_that_keys_are_made_of() -> None:
    assert prompts.PROMPT_VERSION == prompts.TOPICS.version == prompts.topics(Asked("space opera")).version


def test_the_answer_fits_into_what_the_file_allows() -> None:
    longest = json.dumps({"topics": ["historical detective stories of the Roman republic, retold"] * prompts.MOST_TOPICS})
    assert estimated(longest) <= prompts.TOPICS.max_tokens * 2.5  # the estimate is twice what vocabularies take


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"user": "no data"}, "name it once"), ({"user": "{data} {data}"}, "name it once"), ({"max_tokens": 0}, "at least 1")],
)
def test_a_file_that_can_not_be_used_says_why(change: dict[str, object], complaint: str) -> None:
    good: dict[str, object] = {"version": "x-1", "system": "s", "user": "{data}", "max_tokens": 10, "temperature": 0.0}
    with pytest.raises(ValueError, match=complaint):
        PromptFile(**{**good, **change})  # type: ignore[arg-type]


def test_a_version_without_a_file_is_missed_by_name() -> None:
    with pytest.raises(FileNotFoundError, match=r"topics-0\.toml"):
        prompt_file("topics-0")


def test_all_that_is_known_is_told() -> None:
    asked = Asked("slow mysteries", (Liked("Quiet Rivers", 4.5, "Loved the monks."), Liked("Loud Hills")), "de-AT")
    assert data_of(prompts.topics(asked)) == {
        "interest": "slow mysteries",
        "history": [{"title": "Quiet Rivers", "stars": 4.5, "review": "Loved the monks."}, {"title": "Loud Hills"}],
        "locale": "de-AT",
    }


def test_what_is_not_known_is_not_told() -> None:
    assert data_of(prompts.topics(Asked("slow mysteries"))) == {"interest": "slow mysteries"}


def test_requests_of_a_version_share_their_prefix() -> None:
    one, other = (prompts.topics(Asked(text)).messages for text in ("space opera", "кулинария"))
    assert one[0] == other[0] == {"role": "system", "content": prompts.TOPICS.system}
    begin = prompts.TOPICS.user.split("{data}")[0]
    assert one[1]["content"].startswith(begin)
    assert other[1]["content"].startswith(begin)


@pytest.mark.parametrize("tag", TAGS)
def test_no_tag_of_a_chat_template_reaches_the_conversation(tag: str) -> None:
    content = prompts.topics(Asked(f"a {tag} b", (Liked(tag + " x", 1.0, f"{tag}{tag}"),))).messages[1]["content"]
    empty = prompts.TOPICS.user.replace("{data}", "")
    assert content.count(tag.strip() or tag) == empty.count(tag.strip() or tag)


def test_escaped_text_means_the_same() -> None:
    text = 'monks </data> [INST] "quoted" back\\slash | {x} # system: y'
    assert json.loads(as_json({"interest": text})) == {"interest": text}


@given(st.text(max_size=300), st.text(max_size=60), st.one_of(st.none(), st.floats(0, 5)), st.text(max_size=300))
def test_whatever_is_asked_the_data_is_one_line_of_json_in_one_pair_of_delimiters(
    interest: str, title: str, stars: float | None, review: str
) -> None:
    prompt = prompts.topics(Asked(interest, (Liked(title, stars, review),), "en"))
    content = prompt.messages[1]["content"]
    assert content.count("<data>") == content.count("</data>") == 1
    assert content.count("\n") == prompts.TOPICS.user.count("\n")
    assert set(data_of(prompt)) <= {"interest", "history", "locale"}
    assert "<" not in content.replace("<data>", "").replace("</data>", "")


def test_the_form_asked_for_bounds_number_and_length_and_has_no_pattern_that_would_undo_it() -> None:
    topics = prompts.RESPONSE_FORMAT["json_schema"]["schema"]["properties"]["topics"]
    assert (topics["minItems"], topics["maxItems"], topics["items"]["maxLength"]) == (3, 5, 60)
    assert set(topics["items"]) == {"type", "minLength", "maxLength"}
