"""Tells words that speak to somebody, a reader or a machine, from words that name a subject. Knows nothing of where they come from.

Lists of wordings, so never complete: the last of several checks, behind bounds of length and characters (`accepting`). Written so that
subjects which share a verb pass: "stop motion", "click chemistry", "ignorance and enlightenment", "call centres".
"""

import re

_TELL = (
    r"(?:print|output|return|repeat|echo|say|write|reveal|show|tell|give|display|list|translate|summari[sz]e|explain|describe|provide|recite"
    r"|decode|encode|quote|leak|dump|share|disclose|send)\s+"
)
_TURN = re.compile(r"[a-z](?=[A-Z])|[A-Za-z](?=\d)|\d(?=[A-Za-z])")
_ORDERS = (
    r"(?:ignore|disregard|please|kindly)\b",
    r"(?:forget|override|bypass|skip)\s+(?:all|any|every\w*|the|your|my|this|these|those|that|it|previous|prior|above|what|about|earlier|safety)\b",
    r"click\s+(?:here|on|this|the|below|links?|now|to)\b",
    r"visit\s+(?!to\b|of\b|from\b)",
    r"(?:go|navigate|browse|head)\s+(?:over\s+)?to\s+(?:my|our|the|this|that|your|www|http\w*|site|website|link|page|url)\b",
    r"(?:send|transfer|wire|pay)\s+(?:me|us|your|this|all|money|bitcoins?|btc|eth|cash|funds)\b",
    r"send\s+(?:the|to|it|an?\s+(?:e-?mail|message))\b",
    r"(?:reply|respond|answer)\s+(?:with|to\s+(?:this|me|the|my)|only|in|using|yes|no|now|stop|me|by)\b",
    r"buy\s+(?:now|this|these|it|my|our|the|cheap|today|here|from|more)\b",
    r"order\s+(?:now|today|here|online|yours)\b",
    r"(?:buy\s+.{1,30}\s+online|(?:read|learn)\s+more|join\s+(?:us|our|my|now)|vote\s+for)\b",
    r"(?:trust\s+me|watch\s+(?:this|my|our)|kill\s+yourself|dial\s+\d)\b",
    r"(?:call|phone|text|e-?mail|contact|message|dm|whatsapp)\s+(?:now|me|us|this|today|at)\b",
    r"(?:subscribe|sign\s+up|log\s?in|register|donate)\s+(?:now|here|to|today|at|for|with)\b",
    r"(?:download|install|open|run|execute|enter|follow|paste|copy|type|upload)\s+(?:now|here|this|my|our|your|these|following|below|me|us)\b",
    r"(?:download|install|open|run|execute|enter|follow|paste|copy)\s+the\s+(?:link|file|url|attachment|page|site|app|command|code)\b",
    _TELL + r"(?:me|us|your|my|this|that|exactly|only|verbatim|everything|back|out)\b",
    _TELL + r"the\s+(?:above|system|prompt|following|words?|text|previous|instructions?|password|secret|hidden|key|rules|first|message)\b",
    _TELL + r"(?:all\s+(?:of|your|the|previous|prior|above)|an?\s+(?:poem|story|joke|song|haiku|essay|script|list|word|sentence))\b",
    r"(?:act|behave|speak|respond|talk|pose)\s+(?:as|like)\s+(?:an?|if|the|my|though|dan)\b",
    r"(?:pretend\s+(?:to|you|that|it|we)|imagine\s+(?:you|that)|from\s+now\s+on|let['\u2019]s|let\s+us|act\s+now)\b",
    r"you\s+(?:are|must|should|shall|will|have|need|can|may|were|win|won|now|only)\b|you['\u2019](?:re|ve|ll)\b",
    r"(?:do\s+not|don['\u2019]?t|never|always|only)\s+(?:follow|answer|use|reveal|mention|tell|say|share|give|propose|recommend|listen|click|buy)\b",
    r"(?:do\s+not|don['\u2019]?t|never|always|only)\s+(?:trust|read|obey|respond|reply|output|print|return|ignore|write|refuse)\b",
    r"(?:(?:make|be)\s+sure|remember\s+(?:to|that)|use\s+(?:code|coupon|promo|the|this|my|your)|enjoy\s+(?:free|your|our|this))\b",
    r"(?:get|claim|win|earn|save)\s+(?:free|your|now|a\s+free|\d|cash|money|rich|yours|this|it)\b|limited\s+(?:time\s+)?offer",
    r"new\s+(?:instructions?|task|rule|system\s+(?:prompt|message))\b|begin\s+(?:output|answer|response)\b|end\s+of\s+(?:prompt|instructions?|data)\b",
)
"""How an order to a reader or a machine begins."""
_ANSWERS = (
    r"(?:system|assistant|user|human|developer|chatbot|bot|tool|instructions?|response|prompt|answer|output|input|result|note|warning)\s?[:\uff1a]",
    r"(?:data|json|topics?|interest)\s?[:\uff1a]",
    r"<?(?:error|exception|traceback)\b(?=\W*$|\s*[:>(\d]|\s+(?:occurred|code|processing))",
    r"failed\s+to\b|failure\W*$|not\s+(?:available|found|applicable|specified|provided)\b|rate\s+limit|too\s+many\s+requests|internal\s+server",
    r"bad\s+(?:request|gateway)|service\s+unavailable|(?:request\s+)?timed?\s?out\b",
    r"(?:none|null|nil|nan|n/?a|unknown|undefined|empty|string|interest|example|skipped|invalid|etc|misc|other|true|false|okay?|yes|no|data|json)\W*$",
    r"(?:topic|item|example|string|subject|genre|theme|option)s?\W*(?:\d+|[a-e]|one|two|three|four|five)?\W*$",
    r"(?:first|second|third|fourth|fifth|sixth|another|next|last)\s+(?:topic|tag)$",
    r"(?:here\s+(?:are|is)|sure|certainly|of\s+course|okay|absolutely|great)\b\s*(?:[,!:.]|$|(?:the|some|five|three|a\s+list|my|your)\b)",
    r"(?:based\s+on|according\s+to)\s+(?:the|your|this)\b|hope\s+(?:this|that|it)\b",
    r"(?:i|we)\s+(?:would|will|was|am|have|think|suggest|recommend|propose|hope|love|like|loved|liked|want|need)\b",
)
"""How an answer begins that is none: a label, an error, a placeholder, small talk."""
_REFUSALS = (
    r"(?:i['\u2019]?m|i\s+am|we\s+are)\s+(?:sorry|unable|afraid|not\s+able|just\s+an?|an?\s+(?:ai|language))\b",
    r"(?:i|we)\s+(?:can(?:no|['\u2019]?)t|can\s+not|could\s+not|couldn['\u2019]?t|won['\u2019]?t|will\s+not|do\s+not|don['\u2019]?t|decline|refuse)\b",
    r"i\s+(?:must\s+decline|apologi[sz]e)\b|sorry\b(?=\W*$|[,.!]|\s+(?:but|i|we|for|that|no|cannot|about|to)\b)|apologi[sz]e\b|apologies\b",
    r"as\s+an?\s+(?:ai|language|assistant|responsible)\b|unable\s+to\b|cannot\b|can['\u2019]t\s+(?:help|assist|do|provide|comply|fulfill|answer)\b",
    r"(?:request|content|query)\s+(?:was\s+|is\s+|has\s+been\s+)?(?:denied|declined|refused|blocked|filtered|flagged)\b|no\s+comment",
    r"it\s+(?:is|would\s+be)\s+(?:in)?appropriate|es\s+tut\s+mir\s+leid|leider\s+kann|je\s+suis\s+désolé|désolée?\b|lo\s+siento|no\s+puedo\b",
    r"desculpe|sinto\s+muito|mi\s+dispiace|przepraszam|извините|простите|к\s+сожалению|я\s+не\s+могу",
    r"抱歉|对不起|對不起|我(?:不能|无法|無法)|申し訳|すみません|죄송|آسف|عذر",
)
_OF_A_PROMPT = (
    r"\b(?:system|hidden|initial|original|secret|developer)\s+(?:prompts?|messages?|instructions?)\b",
    r"\b(?:previous|prior|above|earlier|preceding|foregoing|original|initial|these|those|your|my)\s+(?:instructions?|prompts?|directions)\b",
    r"\b(?:your|previous|prior|above)\s+(?:rules|guidelines)\b|\b(?:instructions?|rules|prompts?|text|everything)\s+(?:above|before\s+this)\b",
    r"\b(?:developer|dan|god|debug|admin|root)\s+mode\s+(?:on|enabled|activated)\b|\bapi\s+keys?\b|\b(?:base64|rot13)\b",
    r"\bas\s+an?\s+(?:ai|language\s+model|assistant)\b|\blanguage\s+model\s+(?:trained|developed|created)\b",
    r"\b(?:your|my|our)\s+(?:password|account|credit\s+card|bank|e-?mail|wallet|pin|ssn|website|site|link|shop|store)\b",
    r"\bdot\s+(?:com|net|org|io)\b(?!\s+(?:bubble|boom|bust|era|crash|crisis|compan\w+|start\w*|econom\w+|age|years|mania|culture|entrepreneur\w*))",
    r"\b(?:https?|www|tinyurl|bit\s?ly)\b|\bcom(?:$|/)",
    r"\b(?:click|tap)\s+(?:here|(?:on\s+)?(?:this|the)\s+link)\b|\bfree\s+(?:money|bitcoin|iphone|gift\s+cards?)\b",
    r"\b(?:buy|order|act|call|sign\s+up)\s+now\b",
    r"\b(?:drop|alter|truncate)\s+(?:table|database|schema)\b|\bselect\s+(?:\*|\w+(?:\s*,\s*\w+)*)\s+from\b|\bdelete\s+from\b|\binsert\s+into\b",
    r"\bunion\s+select\b|\bsudo\b|\brm\s+-?rf\b|\b(?:curl|wget)\s+(?:-|http|\w+\.)|\bchmod\s+\d|\bimport\s+(?:os|sys|re|json|subprocess|socket|requests)\b|\bos\s+system\b",
    r"\b(?:alert|eval|exec|print|push)\(|\bjavascript\s?:|\bdata\s?:\s?(?:text|image|application)/",
    r"\b(?:im_start|im_end|im_sep|eot_id|start_header_id|end_header_id|endoftext|(?:start|end)_of_turn|begin_of_text|tool_calls?)\b",
    r"\b(?:system|assistant)\s?[:\uff1a](?=\s|$)",
)
"""What is said to or about the machine, or is code for another one, wherever it stands."""
_OF_OTHER_LANGUAGES = (
    r"\b(?:ignorez|ignorier(?:e|en)|ignora|ignore[sn]?\s+(?:las?|los|todas?|todos)|ignoruj|zignoruj|ignorujte|negeer|ignorera|ignorar|ignoreer)\b",
    r"\b(?:oubliez|vergiss|olvida|esqueça|dimentica|zapomnij|vergeet)\s|\b(?:instructions|consignes)\s+(?:précédentes|ci-dessus)",
    r"\b(?:vorherigen|obigen|bisherigen)\s+(?:anweisungen|regeln|befehle)|\binstruc(?:ciones|ções)\s+(?:anteriores|previas|acima)",
    r"\bistruzioni\s+precedenti|\bpoprzednie\s+(?:polecenia|instrukcje)|(?:önceki|yukarıdaki)\s+(?:talimat|komut)",
    r"игнорир|забудь(?:те)?\b|предыдущи\w+\s+(?:инструкц|указан)|системн\w+\s+(?:промпт|запрос|сообщен)",
    r"忽略|无视|無視(?:し|せよ|する)|忘记(?:以上|之前)|(?:以上|之前|先前|前面|上記|以前)の?(?:所有|全部|すべての)?的?(?:指令|指示|命令|提示)",
    r"系统提示|システムプロンプト|무시하|(?:이전|위의)\s?(?:지시|명령)|시스템\s?프롬프트|تجاهل|التعليمات\s+السابقة|התעלם|अनदेखा\s+कर|निर्देशों",
    r"\bcliquez\b|\bklicken?\s+sie\b|\bhaz\s+clic\b|\bclique\s+aqui\b|点击|クリックし|нажми|перейди|انقر",
)
_OF_A_TAKEOVER = (
    r"\b(?:ignore|disregard|forget|override|bypass)\s+(?:all|any|every\w*|your|my|this|these|those|previous|prior|above|what|earlier|safety)\b",
    r"\b(?:ignore|disregard|forget|override|bypass)\s+the\s+(?:above|previous|prior|rules?|instructions?|prompts?|system|others?|rest|data|text|user)\b",
    r"(?:^|[\n\"'>\])]|\#\s?)\s*(?:system|assistant|user|human|developer|instructions?|response)\s?[:\uff1a]",
    r"<\W?[a-z_|]+|\[/?(?:inst|system|assistant|user)\b|<<sys>>|\#\#\#\s*\w+|`[^`]+`|```|[{\[]\s*\\?[\"'\u201c]|\btopics?[\"']?\s*[:=\]]|\]\(\s*\S|[{\[]{3}",
    r"\\u00[2-7][0-9a-f]|&(?:lt|gt|quot|amp|\#\w+);|[{$]\{|\{%|[\u2039\u27e8]/",
    r"https?:|\bwww\.|\S@\S+\.\w|\b[\w-]+\.(?:com|net|org|io|example|ru|xyz|info|biz|co|onion|test|invalid)\b",
    r"\b(?:answer|respond|reply)\s+(?:only|exactly|with)\b",
    r"\b(?:output|print|return|say|write|repeat|echo)\s+(?:only|exactly|the\s+(?:words?|text|string|following|above|topics?)|your|this)\b",
    r"\b(?:output|print|say|write|repeat|echo)\s+(?:[\"'\u201c]|(?-i:[A-Z]{3}))",
    r"\byou\s+are\s+(?:now|no\s+longer|an?\s+(?:ai|assistant|language|helpful|different|hacker|pirate))\b|\bnew\s+(?:instructions?|task|rules?)\b",
    r"\bpretend\s+(?:to\s+be|you|that)\b|\bact\s+as\s+(?:an?\s+)?(?:ai|assistant|dan|hacker|pirate|different)\b|\bfrom\s+now\s+on\b",
    r"\b(?:topics?|answer|response|output|list)\s+(?:must|should|shall|has\s+to|have\s+to)\b|\b(?:every|each|first|only|a)\s+topic\b",
)
"""How a user's text turns to the machine that reads it. Broader than what is refused in an answer: it only bars quoting that user."""


def _any(*groups: tuple[str, ...]) -> str:
    return "|".join(pattern for group in groups for pattern in group)


_SPEAKS = re.compile(f"^\\W*(?:{_any(_ORDERS, _ANSWERS, _REFUSALS)})|{_any(_OF_A_PROMPT, _OF_OTHER_LANGUAGES)}", re.IGNORECASE)
_REFUSES = re.compile(f"^\\W*(?:{_any(_REFUSALS)})", re.IGNORECASE)
_TAKES_OVER = re.compile(_any(_OF_A_TAKEOVER, _OF_A_PROMPT, _OF_OTHER_LANGUAGES), re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?\u3002\n]\s")
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u04bb\u051b\u051d\u0432\u043a\u043c\u043d\u0442\u0433"
    "\u03bf\u03b1\u03b5\u03b9\u03ba\u03bd\u03c1\u03c4\u03c5\u03c7\u0261\u0131\u0578\u057d\u0585",
    "aeopcyxisjdhqwbkmhtr" + "oaeikvptux" + "ginuo",
)
"""Letters of Cyrillic, Greek and Armenian that look like Latin ones, in small."""


def speaks(text: str) -> bool:
    """Whether `text` orders, answers or refuses rather than names; look-alike letters of other alphabets count as those they look like."""
    return any(_SPEAKS.search(form) for form in {text, latin(text)})


def refuses(text: str) -> bool:
    """Whether `text` begins as a refusal."""
    return _REFUSES.match(text[:200]) is not None


def takes_over(text: str) -> int | None:
    """Where the sentence begins in which `text`, told by a user, speaks to the machine that reads it; None when it does not."""
    found = [match.start() for form in {text, latin(text)} if (match := _TAKES_OVER.search(form))]
    if not found:
        return None
    return max((end.end() for end in _SENTENCE_END.finditer(text, 0, min(found))), default=0)


def latin(text: str) -> str:
    """`text` with the Latin letters that its letters look like; of the same length, and in small where there are others than ASCII."""
    return text if text.isascii() else "".join(char.lower()[0] for char in text).translate(_LOOKALIKES)


def encoded(word: str) -> bool:
    """Whether `word` looks like base64, hexadecimal or a key: it turns between cases and digits as words of no language do."""
    return len(word) >= 8 and len(_TURN.findall(word)) >= 3
