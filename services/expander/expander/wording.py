"""Tells words that speak to somebody, a reader or a machine, from words that name a subject. Knows nothing of where they come from.

A list of wordings, so never complete: it is the last of several checks, behind bounds of length and characters (`accepting`). Written so that
subjects which share a verb pass: "stop motion", "click chemistry", "ignorance and enlightenment", "call centres".
"""

import re

_ORDER = r"""
    (?:ignore|disregard)\b
    | (?:forget|override|bypass|skip)\s+(?:all|any|every\w*|the|your|my|this|these|those|that|it|previous|prior|above|what|about|earlier|safety|rules?)\b
    | (?:please|kindly)\b
    | click\s+(?:here|on|this|the|below|links?|now|to)\b
    | visit\s+(?!to\b|of\b|from\b) | (?:go\s+to|navigate\s+to|browse\s+to)\s+(?:us|me|my|our|the|this|that|your|www|https?|site|website|web|link|page|url)\b
    | (?:send|transfer|wire|pay)\s+(?:me|us|your|this|all|money|bitcoins?|btc|eth|cash|funds)\b
    | send\s+(?:the|to|it|an?\s+(?:e-?mail|message))\b
    | (?:reply|respond|answer)\s+(?:with|to\s+(?:this|me|the|my)|only|in|using|yes|no|now|stop|me|by)\b
    | buy\s+(?:now|this|these|it|my|our|the|cheap|today|here|from|more)\b | order\s+(?:now|today|here|online|yours)\b
    | (?:call|phone|text|e-?mail|contact|message|dm|whatsapp)\s+(?:now|me|us|this|today|at)\b
    | (?:subscribe|sign\s+up|log\s?in|register|donate)\s+(?:now|here|to|today|at|for|with)\b
    | (?:download|install|open|run|execute|enter|follow|paste|copy|type|upload)\s+(?:now|here|this|my|our|your|these|following|below|me|us
        |the\s+(?:link|file|url|attachment|page|site|app|command|code))\b
    | (?:print|output|return|repeat|echo|say|write|reveal|show|tell|give|display|list|translate|summari[sz]e|explain|describe|provide|recite|decode
        |encode|quote|leak|dump|share|disclose|send)\s+(?:me|us|your|my|this|that|exactly|only|verbatim|everything|back|out
        |the\s+(?:above|system|prompt|following|words?|text|previous|instructions?|password|secret|hidden|key|rules|first|initial|conversation|message)
        |all\s+(?:of|your|the|previous|prior|above)|an?\s+(?:poem|story|joke|song|haiku|essay|script|list|word|sentence))\b
    | (?:act|behave|speak|respond|talk|pose)\s+(?:as|like)\s+(?:an?|if|the|my|though|dan)\b
    | pretend\s+(?:to|you|that|it|we)\b | imagine\s+(?:you|that)\b | from\s+now\s+on\b | let(?:'s|\s+us)\s
    | you\s+(?:are|must|should|shall|will|have|need|can|may|were|win|won|now|only)\b | you['\u2019](?:re|ve|ll)\b
    | (?:do\s+not|don['\u2019]?t|never|always|only)\s+(?:follow|answer|use|reveal|mention|tell|say|share|give|propose|recommend|listen|click|buy|trust|read|obey
        |respond|reply|output|print|return|ignore|write|follow|refuse)\b
    | (?:make|be)\s+sure\b | remember\s+(?:to|that)\b | use\s+(?:code|coupon|promo|the|this|my|your)\b | enjoy\s+(?:free|your|our|this)\b
    | (?:get|claim|win|earn|save)\s+(?:free|your|now|a\s+free|\d|cash|money|rich|yours|this|it)\b | act\s+now\b | limited\s+(?:time\s+)?offer
    | new\s+(?:instructions?|task|rule|system\s+(?:prompt|message))\b | begin\s+(?:output|answer|response)\b | end\s+of\s+(?:prompt|instructions?|data)\b
"""
_ANYWHERE = r"""
    \b(?:system|hidden|initial|original|secret|developer)\s+(?:prompts?|messages?|instructions?)\b
    | \b(?:previous|prior|above|earlier|preceding|foregoing|original|initial|these|those|your|my)\s+(?:instructions?|prompts?|rules|directions|guidelines)\b
    | \b(?:instructions?|rules|prompts?|text|everything)\s+(?:above|before\s+this)\b | \b(?:developer|dan|god|debug|admin|root)\s+mode\s+(?:on|enabled|activated)\b
    | \b(?:your|my|our)\s+(?:password|account|credit\s+card|api\s+keys?|bank|e-?mail|wallet|pin|ssn|website|site|link|shop|store)\b
    | \bapi\s+keys?\b | \bas\s+an?\s+(?:ai|language\s+model|assistant)\b | \blanguage\s+model\s+(?:trained|developed|created)\b
    | \bdot\s+(?:com|net|org|io)\b(?!\s+(?:bubble|boom|bust|era|crash|crisis|compan\w+|start\w*|econom\w+|age|years|mania|culture|entrepreneur\w*))
    | \b(?:click|tap)\s+(?:here|(?:on\s+)?(?:this|the)\s+link)\b | \b(?:free\s+(?:money|bitcoin|iphone|gift\s+cards?)|buy\s+now|order\s+now|act\s+now|sign\s+up\s+now)\b
    | \b(?:drop|alter|truncate)\s+(?:table|database|schema)\b | \bselect\s.+\sfrom\b | \bdelete\s+from\b | \binsert\s+into\b | \bunion\s+select\b
    | \bsudo\b | \brm\s+-?rf\b | \b(?:curl|wget|chmod|bash|powershell)\s+-?\w | ^import\s+(?:os|sys|re|json|subprocess|socket|requests)\b
    | \bos\s+system\b | \balert\s?\( | \beval\s?\( | \bjavascript\s?: | \bdata\s?:\s?(?:text|image|application)/
    | \b(?:im_start|im_end|im_sep|eot_id|bos|eos|start_header_id|end_header_id|endoftext|start_of_turn|end_of_turn|begin_of_text|tool_calls?)\b
    | \b(?:base64|rot13)\s*[:,]
"""
_ROLE = r"(?:system|assistant|user|human|developer|chatbot|bot|tool|instructions?|response|prompt|answer|output|input|result|note|warning|data|json|topics?|interest)\s?[:\uff1a]"
_OTHER_LANGUAGES = r"""
    \b(?:ignorez|ignorier(?:e|en)|ignora\s|ignore[sn]?\s+(?:las?|los|todas?|todos)|ignoruj|zignoruj|negeer|ignorera|ignorar|ignoreer)\b
    | \b(?:oubliez|vergiss|olvida|esqueça|dimentica|zapomnij|vergeet)\s
    | \b(?:instructions|consignes)\s+(?:précédentes|ci-dessus) | \b(?:vorherigen|obigen|bisherigen)\s+(?:anweisungen|regeln|befehle)
    | \binstruc(?:ciones|ções)\s+(?:anteriores|previas|acima) | \bistruzioni\s+precedenti | \bpoprzednie\s+(?:polecenia|instrukcje)
    | игнорир | забудь|забудьте | предыдущи\w+\s+(?:инструкц|указан) | (?:системн\w+\s+(?:промпт|запрос|сообщен))
    | 忽略 | 无视 | 無視(?:し|せよ|する) | 忘记(?:以上|之前) | (?:以上|之前|先前|前面|上記|以前)の?(?:所有|全部|すべての)?的?(?:指令|指示|命令|提示) | 系统提示 | システムプロンプト
    | 무시하 | (?:이전|위의)\s?(?:지시|명령) | 시스템\s?프롬프트 | تجاهل | التعليمات\s+السابقة | התעלם | अनदेखा\s+कर | निर्देशों | ignorujte
    | (?:önceki|yukarıdaki)\s+(?:talimat|komut)
    | \bcliquez\b | \bklicken?\s+sie\b | \bhaz\s+clic\b | \bclique\s+aqui\b | 点击 | クリックし | нажми | перейди | مرحبا\s+انقر | انقر
"""
_REFUSAL = r"""
    i['\u2019]?m\s+(?:sorry|unable|afraid|not\s+able|just\s+an?|an?\s+(?:ai|language)) | (?:i\s+am|we\s+are)\s+(?:sorry|unable|afraid|not\s+able|an?\s+(?:ai|language))
    | (?:i|we)\s+(?:can(?:no|['\u2019]?)t|can\s+not|could\s+not|couldn['\u2019]?t|won['\u2019]?t|will\s+not|do\s+not|don['\u2019]?t|must\s+decline|refuse|apologi[sz]e)\b
    | sorry\b | apologi[sz]e | apologies\b | as\s+an?\s+(?:ai|language|assistant|responsible) | unable\s+to\b | cannot\b | can['\u2019]t\s+(?:help|assist|do|provide|comply|fulfill|answer)\b
    | (?:request|content|query)\s+(?:was\s+|is\s+|has\s+been\s+)?(?:denied|declined|refused|blocked|filtered|not\s+allowed|flagged)\b | it\s+(?:is|would\s+be)\s+(?:in)?appropriate | no\s+comment
    | es\s+tut\s+mir\s+leid | leider\s+kann | je\s+suis\s+désolé | désolée?\b | lo\s+siento | no\s+puedo\b | desculpe | sinto\s+muito | mi\s+dispiace | przepraszam
    | извините | простите | к\s+сожалению | я\s+не\s+могу | 抱歉 | 对不起 | 對不起 | 我(?:不能|无法|無法) | 申し訳 | すみません | 죄송 | آسف | عذر
"""
_FAILURE = r"""
    <?(?:error|exception|traceback)\b(?=\W*$|\s*[:>(\d]|\s+(?:occurred|code|processing)) | failed\ to\b | failure\W*$ | not\ (?:available|found|applicable|specified|provided)\b
    | rate\ limit | too\ many\ requests | internal\ server | bad\ (?:request|gateway) | service\ unavailable | (?:request\ )?timed?\ ?out\b
    | (?:none|null|nil|nan|n/?a|unknown|undefined|empty|string|topics?|interest|example|skipped|invalid|etc|misc|other|true|false|ok|okay|yes|no|data|json)\W*$
    | (?:topic|item|example|string|subject|genre|theme|option)\W*(?:\d+|[a-e]|one|two|three|four|five)$ | (?:first|second|third|fourth|fifth|sixth|another|next|last)\ topic$
    | (?:here\s+(?:are|is)|sure|certainly|of\s+course|okay|absolutely|great)\b\s*(?:[,!:.]|$|the\b|some\b|five\b|three\b|a\s+list\b|my\b|your\b)
    | (?:based\s+on|according\s+to)\s+(?:the|your|this)\b | (?:i|we)\s+(?:would|will|was|am|have|think|suggest|recommend|propose|hope|love|like|loved|liked|want|need)\b | hope\s+(?:this|that|it)\b
"""


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.VERBOSE | re.IGNORECASE)


_SPEAKS = _compiled(f"^\\W*(?:{_ORDER}|{_ROLE}|{_FAILURE})|{_ANYWHERE}|{_OTHER_LANGUAGES}")
_REFUSES = _compiled(f"^\\W*(?:{_REFUSAL})")
_TAKES_OVER = _compiled(
    rf"""
    \b(?:ignore|disregard|forget|override|bypass)\s+(?:all|any|every\w*|the|your|my|this|these|those|that|previous|prior|above|what|earlier|safety|instructions?|rules?)\b
    | {_ANYWHERE} | {_OTHER_LANGUAGES}
    | (?:^|[\n"'>\])]|\#\s?)\s*(?:system|assistant|user|human|developer|instructions?|response)\s?[:\uff1a]
    | <\W?[a-z_|]+ | \[/?(?:inst|system|assistant|user)\b | <<sys>> | \#\#\#\s*\w+ | ``` | [{{\[]\s*["'\u201c] | \btopics?["']?\s*[:=\]] | \]\s*\(\s*\w
    | https?: | \bwww\. | \S@\S+\.\w | \b[\w-]+\.(?:com|net|org|io|example|ru|xyz|info|biz|co|onion|test|invalid)\b
    | \b(?:answer|respond|reply)\s+(?:only|exactly|with)\b | \b(?:output|print|return|say|write|repeat|echo)\s+(?:only|exactly|the\s+(?:words?|text|string|following|above|topics?)|your|this|["'\u201c]|(?-i:[A-Z]{{3}}))
    | \byou\s+are\s+(?:now|no\s+longer|an?\s+(?:ai|assistant|language|helpful|different|hacker|pirate))\b | \bnew\s+(?:instructions?|task|rules?)\b
    | \bpretend\s+(?:to\s+be|you|that)\b | \bact\s+as\s+(?:an?\s+)?(?:ai|assistant|dan|hacker|pirate|different)\b | \bfrom\s+now\s+on\b | \b(?:base64|rot13)\b | [A-Za-z0-9+/]{{24,}}={{0,2}}
    | \b(?:script|alert|eval|exec|print)\s?[(;>]
    | \b(?:topics?|answer|response|output|list)\s+(?:must|should|shall|has\s+to|have\s+to)\b | \b(?:every|each|first|only)\s+topic\b
    """
)
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u0501\u04bb\u051b\u051d\u0432\u043a\u043c\u043d\u0442\u0433\u03bf\u03b1\u03b5\u03b9\u03ba\u03bd\u03c1\u03c4\u03c5\u03c7\u0261\u0131\u0578\u057d\u0585",
    "aeopcyxisjdhqwbkmhtroaeikvptuxginuo",
)


def speaks(text: str) -> bool:
    """Whether `text` orders, answers or refuses rather than names; look-alike letters of other alphabets count as those they look like."""
    return any(_SPEAKS.search(form) or _REFUSES.search(form) for form in _forms(text))


def refuses(text: str) -> bool:
    """Whether `text` begins as a refusal."""
    return _REFUSES.search(text[:200]) is not None


def takes_over(text: str) -> int | None:
    """Where `text`, told by a user, begins to speak to the machine that reads it; None when it does not."""
    found = [match.start() for form in _forms(text) if (match := _TAKES_OVER.search(form))]
    return min(found, default=None)


def _forms(text: str) -> tuple[str, ...]:
    return (text,) if text.isascii() else (text, text.lower().translate(_LOOKALIKES))
