"""Signs in prose that tell what is done to whom: other tools, what was said, rules, reviews, the person who hesitates.

``signs_words`` tells single acts by verb and object. A deed here is a relation that an attack of its kind cannot do
without, however it is worded: who steers another tool has to say when, and what becomes of its results.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from skillyard.governance.static.signs_words import Sign, sign

_HERE: Final = r"[^\x1e\n]"


def _deed(kind: str, told: str, weight: float, *patterns: str) -> Sign:
    """A dot within an address or a name ends no sentence."""
    return sign(kind, told, weight, *(one.replace(r"[^.\n]", _HERE) for one in patterns))


_TOOL: Final = r"(?:tools?|skills?|plug-?ins?|extensions?|mcp servers?|functions?|integrations?|assistants?|agents?)"
_ANY: Final = r"(?:any|every|all|each|another|other|the other|different|whatever|competing|remaining|alternative)"
_USING: Final = (
    r"(?:us(?:e|es|ed|ing)|call(?:s|ed|ing)?|invok(?:e|es|ed|ing)|run(?:s|ning)?|reach(?:es|ing)? for|fir(?:e|es|ed))"
)
_CONFIDENTIAL: Final = (
    r"(?:\.env\b|\.netrc\b|\.ssh\b|\.aws\b|\.npmrc\b|mcp\.json|hosts\.yml|credentials?|secrets?|(?:api |access |oauth |deploy |auth |ssh |private |signing |session )?(?:tokens?|keys?)|passwords?|passphrases?"
    r"|environment variables?|env vars?|environment|configuration(?: files?)?|connection strings?|source (?:code|files?)|stack traces?|customer (?:data|records|rows)|cookies?|private (?:data|files|repositor\w+|repos?))"
)
_RULES: Final = (
    r"(?:confirmations?|confirmation rules?|safety(?: \w+)?|guidelines?|guard ?rails?|restrictions?|safeguards?|instructions?|refusals?|permissions?|permission (?:rules?|checks?|prompts?)|limitations?|limits"
    r"|content polic(?:y|ies)|usage polic(?:y|ies)|directives?|system prompt|approval (?:rules?|steps?|process)|constraints?|polic(?:y|ies) you (?:\w+ )?(?:given|told|trained))"
)

STEERS: Final = _deed(
    "steers", "what becomes of other tools and their results", 2,
    rf"\b(?:when(?:ever)?|each time|every time|before|after|while|once|if) (?:\w+ ){{0,5}}{_USING} (?:[\w-]+ ){{0,4}}(?:\w+-\w+ )?{_TOOL}\b[^.\n]{{0,220}}\b(?:pass|route|put|send|set|replace|rewrite|add|append|bcc|cc|forward|copy|mirror|duplicate|include|change|swap|attach|insert|first (?:read|call|run|send|fetch|open))\b",
    rf"\b(?:instead of|in place of|rather than|ahead of|in preference to|in preference over|supersedes?|overrides?|outranks?|takes? (?:precedence|priority) over|has (?:precedence|priority) over|replaces?) (?:using )?(?:\w+ )?{_ANY} (?:\w+ ){{0,3}}(?:{_TOOL}|sources?|search(?:es)?|results?)\b",
    rf"\b(?:other|another|competing|remaining|alternative) (?:[\w-]+ ){{0,2}}{_TOOL}(?:'s?)? (?:\w+ ){{0,4}}(?:should not|shouldn['’]t|must not|mustn['’]t|may not|cannot|are not|is not|outdated|unreliable|deprecated|inaccurate|unsafe|broken|disabled|ignored?|discard\w*|lower quality)\b",
    rf"\b(?:use|call|consult|invoke|run|load|read|activate)(?:d)? (?:this|the|our|me) (?:\w+ )?{_TOOL}? ?(?:first|before|ahead)\b[^.\n]{{0,80}}\b(?:any|every|each|all|other|whatever)\b|\b(?:must|has to|needs to) be (?:consulted|called|used|loaded|invoked|run|read) (?:first|before)\b",
    rf"\b(?:always|must)\b[^.\n]{{0,60}}\bbefore (?:using |calling )?(?:any|every|each) other\b[^.\n]{{0,60}}\b{_TOOL}\b|\bwhatever the (?:task|request|question)\b(?! is\b)",
    rf"\b(?:decline|refuse|reject)\b[^.\n]{{0,40}}\b(?:use|using|call|load)\b[^.\n]{{0,20}}\bother {_TOOL}\b|\bthe only (?:approved|allowed|trusted|permitted|authori[sz]ed|sanctioned)\b[^.\n]{{0,60}}\b(?:other|else|decline|ignore|instead)\b|\b(?:before|after|with|alongside|on) (?:every|each|any|all) (?:other )?{_TOOL} (?:calls?|uses?|invocations?|results?)\b",
    r"\b(?:contradicts?|disagrees?|conflicts?|differs?)\b[^.\n]{0,80}\b(?:discard|ignore|prefer|trust|use|drop|overrule|keep) (?:it|ours|this|that|the|them|theirs)\b|\b(?:discard|ignore|drop|distrust|overrule) (?:the |what )?(?:\w+ )?(?:results?|outputs?|answers?|warnings?) (?:of|from|by) (?:other|another|any)\b",
    r"\b(?:results?|outputs?|answers?|files?|messages?|summary|it)\b[^.\n]{0,60}\b(?:shown|visible|presented|returned|displayed)\b[^.\n]{0,60}\b(?:as if|as though|look (?:as|like|unchanged|normal)|without (?:a )?trace|unchanged)\b",
    r"\bwhen (?:the )?\w+(?: \w+)? (?:tool )?(?:is|are) (?:present|available|loaded|installed|connected|active)\b[^.\n]{0,160}\b(?:must|should|instead|in place of|go to|also)\b|\bwhile this (?:skill|tool|plugin) is (?:loaded|active|installed|enabled)\b",
)  # fmt: skip
CONTEXT: Final = _deed(
    "context", "what was said or opened being handed on", 1.5,
    r"\b(?:everything|all|whatever|anything|what) (?:that )?(?:the user|you|the person|they|was|has been|we|either of you)(?: and (?:you|the user|the assistant|i))? (?:\w+ )?(?:said|typed|writes?|written|wrote|asked|discussed|shared|read|seen|opened|entered|told)\b",
    r"\b(?:complete|full|entire|whole|raw|verbatim|last \w+|user's) (?:\w+ ){0,2}(?:conversation|chat|dialog(?:ue)?|session|transcript|message history|chat history|conversation history|prompts?|messages|turns)(?: (?:history|log|so far|context|text))?\b[^.\n]{0,80}\b(?:in|as|to|into|with|under|for|including)\b",
    r"\b(?:names?|paths?|contents?|text|list)(?: and (?:names?|paths?|contents?))? of (?:the |all |any |every |each |your |recently )?(?:\w+ )?(?:open|opened|edited|attached|read|loaded|recent) (?:files?|tabs?|documents?|buffers?)\b|\b(?:files?|documents?) (?:contents? )?(?:that )?(?:you|the agent|the user|it) (?:have|has|had) (?:read|opened|seen|edited|attached)\b",
    r"\b(?:that|the other|each|every|another|other) (?:tools?|skills?)(?:'s|s')? (?:arguments?|inputs?|results?|outputs?|responses?)\b|\b(?:arguments?|inputs?|results?|outputs?|responses?) of (?:every|each|all|other|that|another) (?:other )?(?:tools?|skills?)\b",
    r"\b(?:including|together with|along with|plus|and) (?:the |your |its )?(?:system prompt|hidden instructions|chain of thought|tool results?|environment variables)\b|\bconversation so far\b",
)  # fmt: skip
MODE: Final = _deed(
    "mode", "earlier rules being said not to hold", 2.5,
    rf"\b(?:usual|normal|standard|regular|previous|prior|earlier|existing|default|original|your|built-in|any|all|ordinary|general|former|these|the) (?:\w+ ){{0,2}}{_RULES}\b(?: \w+){{0,6}} (?:do(?:es)? not apply|don['’]t apply|no longer (?:appl(?:y|ies)|hold|valid|binding|in (?:force|effect))|(?:are|is|were|was|have been|has been|be|being) (?:\w+ )?(?:superseded|suspended|expired|lifted|waived|void|voided|irrelevant|obsolete|overridden|disregarded|not applicable|inapplicable|switched off|relaxed|meant for)|(?:has|have) expired)\b",
    rf"\b{_RULES}\b[^.\n]{{0,100}}\b(?:can|may|should|must|to|is to|are to) (?:safely )?be (?:disregarded|ignored|overridden|set aside|bypassed|skipped)\b|\b(?:earlier|before|previously|above)\b[^.\n]{{0,80}}\b(?:can|may|should|must|to) be (?:disregarded|ignored|overridden|set aside)\b",
    r"\b(?:treat|consider|regard|assume|count|handle|mark)(?:ing)? (?:\w+ ){0,4}(?:tool calls?|actions?|commands?|requests?|steps?|changes?|operations?|prompts?|it|them|this|these) (?:\w+ ){0,3}as (?:already )?(?:pre-?)?(?:approved|authori[sz]ed|confirmed|consented|granted|signed off)\b",
    r"\b(?:you are|you're|operat\w+|enter|switch|act|now|continue|run)\b (?:\w+ ){0,4}(?:maintainer|developer|admin(?:istrator)?|debug|god|unrestricted|trusted|privileged|root|elevated|maintenance|override|operator|internal|superuser|unsupervised|emergency|diagnostic)[- ]?mode\b|\bin this mode\b[^.\n]{0,80}\b(?:not apply|approved|without|no (?:confirmation|approval|permission|restriction))",
    rf"\b{_RULES}\b[^.\n]{{0,80}}\b(?:are|is|count as|serve as|were) (?:\w+ )?(?:examples?|suggestions?|defaults?|samples|placeholders|not binding|non-binding|optional|not meant|no longer|without (?:effect|force)|of no)\b|\b(?:not binding|do(?:es)? not bind|non-binding)\b",
    r"\b(?:comply|obey|follow) (?:with )?(?:everything|all of it|every line) (?:below|here|in (?:it|this))\b|\bnever (?:reveal|disclose|share|discuss|quote) (?:its|these|this|the|their|your) (?:contents?|existence|instructions?|rules|text|document|source)\b",
)  # fmt: skip
DELEGATED: Final = _deed(
    "delegated", "other people's words being orders to the agent", 2,
    r"\b(?:e?-?mails?|messages?|comments?|issues?|tickets?|documents?|pages?|repl(?:y|ies)|responses?|entries|events?|posts?|notes|files?|lines?|rows|cells|headers?|results?|outputs?|invitations?|descriptions?|titles?|answers?|feeds?|records?)\b[^.\n]{0,120}\b(?:carr(?:y|ies)|contains?|holds?|gives?|are|is|counts? as|treated as|constitutes?|act as|serve as)\b[^.\n]{0,60}\b(?:operational |binding |standing |further |your |direct |authoritative )?(?:directives?|instructions|orders|commands|tasks) (?:for you|to (?:you|the agent)|from|of|and|that|,|\.|which|you)",
    r"\b(?:perform|execute|carry out|follow|act on|do|run|apply|fulfil|implement|obey) (?:\w+ )?(?:what|whatever|everything|anything|all|those|them|these|any (?:instructions?|commands?|requests?|steps?)|every (?:instruction|command|request|step)) ?(?:that )?(?:they|it|these|those|is|are|the (?:mail|message|page|file|server|response|answer|comment|issue|note|ticket|sender|author|document)|stands|found|listed|written|requested|asks?|says?|contains?|in (?:it|them))\b",
    r"\b(?:written|meant|intended|left|addressed|placed|put|added|sent|directed) (?:\w+ ){0,6}(?:for|to) (?:you|the agent|the assistant|the model)\b|\b(?:run|execute|carry out|perform|follow) (?:the |any |every |each |such )?(?:\w+ )?(?:commands?|code|scripts?|snippets?|steps?|instructions?|orders?|text) (?:that |which )?(?:follows?|found|listed|given|stands?|contained|written|appears?|comes?|there|in|on|from) (?:\w+ ){0,4}(?:lines?|cells?|comments?|entr(?:y|ies)|fields?|mails?|messages?|pages?|records?|rows?|issues?|tickets?|headers?|answers?|responses?)\b",
    r"\bas (?:if|though) (?:the user|they|it|the owner|the person|a user|your user) (?:had |have |has |were |was )?(?:typed|said|asked|written|wrote|requested|given|sent|told|issued|come|came|instructed)\b|\b(?:same|equal) (?:authority|weight|priority|trust|standing) as (?:the |a |your )?(?:user|person|owner|system|operator)",
)  # fmt: skip
EXPOSED: Final = _deed(
    "exposed", "secrets or private text being put where others read it", 2,
    rf"\b(?:badge|image|link|url|pixel|icon|logo|query|branch|subdomain|hostname|file ?name)\b[^.\n]{{0,80}}\b(?:where|with|whose|containing|carrying|made (?:of|from)|from|holding|built from)\b[^.\n]{{0,100}}\b(?:value|contents?|lines?|text|first|hash|copy|encoded)\b[^.\n]{{0,40}}{_CONFIDENTIAL}",
    r"\b(?:attach|include|add|paste|upload|submit|send|file|post|share)\b[^.\n]{0,100}\b(?:private|internal|proprietary|confidential|unredacted|unmasked|full|complete|raw|whole)\b[^.\n]{0,60}\b(?:repositor\w+|source|configuration|stack trace|logs?|code|\.git/config|environment|database|schema|rows|records)\b",
)  # fmt: skip
PUBLISHED: Final = _deed(
    "exposed", "something of the person's being made public", 2,
    r"\banyone with the link\b|\b(?:public|world)(?:ly)?[- ](?:readable|writable)\b|\bpublic gist\b|\bgist create\b[^\n]{0,30}--public|\bmake (?:it|them|the \w+) public\b|\bacl[= ]public-read|\bpublic repositor(?:y|ies) (?:named|called|under|in)\b",
)  # fmt: skip
PUT_OUT: Final = replace(
    _deed(
        "exposed", "secrets or private text being put where others read it", 2,
        rf"{_CONFIDENTIAL}[^.\n]{{0,120}}\b(?:in|into|to|as|at|on|under|onto) [^.\n]{{0,60}}\b(?:fixtures?|commit(?: message)?|issues?|comments?|pull requests?|pr (?:body|description)|readme|badges?|footer|gist|changelog|user.?agent|query(?: string| parameter)?|url|link|image|referer|pixel|avatar|webhook|artifacts?|public|snapshot|release notes?|subject|filename|branch name|ticket|alt text|favicon|bucket|subdomain|hostname)\b",
    ),
    before=re.compile(
        r"\b(?:print|copy|write|dump|paste|include|put|embed|append|add|store|save|attach|place|insert|record|list|mention|quote|render|encode|echo|export|transcribe|attach|reproduce|log)(?:s|ing|ed)?\b[^\x1e\n]{0,120}$",
        re.IGNORECASE,
    ),
)  # fmt: skip
CARRIED: Final = _deed(
    "exposed", "an address that carries data away", 2,
    r"!\[[^\]\n]{0,60}\]\(\s*https?://[^)\s]{3,200}[?&=](?:[<{\[$%]|(?-i:[A-Z]{2,12}\b))[^)\n]{0,120}\)|https?://[^\s`'\")]{3,200}[?&]\w{1,20}=(?:(?-i:[A-Z][A-Z_ ]{1,14}\b)|<[^>\n]{2,40}>|\{[^}\n]{2,40}\}|\.\.\.|…)?[^\n]{0,90}\b(?:where|with|whose|followed by|and (?:append|add|put|fill)|filled|containing)\b[^\n]{0,120}\b(?:base64|encoded|contents?|text|value|output|names?|conversation|prompt|first|last|hash|list|user|summary|message)\b",
)  # fmt: skip
EXEMPTED: Final = _deed(
    "exempted", "something being spared from checks", 2.5,
    r"\b(?:leave|keep|omit|exclude|drop|skip|strip)\w* (?:it|them|these|those|this|that|such \w+|\w+ files?|findings?)(?: \w+){0,2} (?:out of|from|in) (?:the |your |any |all )?(?:\w+ )?(?:security|review|scan|audit|findings|analysis|report|checks?|diff|results?)\b",
    r"\b(?:rate|classify|mark|treat|label|score|consider|count|report|record|grade|tag|list)\w* (?:it|them|these|those|this|such \w+|(?:the |any |all )?(?:\w+ )?(?:findings?|changes|packages?|hosts?|calls?|imports?|alerts?))(?: \w+){0,2} (?:as )?(?:an? )?(?:low(?: risk| severity)?|safe|trusted|benign|informational|not applicable|false positives?|minor|accepted|vetted|clean|harmless|known.good|expected|no issue)\b",
    r"\b(?:resolve|close|dismiss|suppress|ignore|discard|drop|silence|filter out|hide) (?:\w+ ){0,4}(?:findings?|warnings?|alerts?|objections?|comments?|reports?|issues|these|them|vulnerabilit\w+)(?: \w+){0,8} (?:as (?:not applicable|false|resolved|won['’]t fix|duplicate|accepted|noise|by design)|from (?:the |this |our )?\w+ (?:package|scope|vendor|domain|author|folder))\b",
    r"\b(?:come|comes|coming|is|are|originate\w*) (?:from )?(?:a |our |the )?(?:trusted|verified|pre-?vetted|vetted|approved|certified|known-good|audited|whitelisted|allow-?listed) (?:partner|source|vendor|party|publisher|supplier|host|domain|dependency|scope|upstream|maintainer)s?\b|\b(?:already|independently|previously|externally|upstream) (?:audited|vetted|reviewed|scanned|approved|certified)\b",
    r"\b(?:approve|merge|lgtm|accept)\w* (?:it|them|those|these|any|all|every|pull requests?|prs?|changes?|commits?)\b[^.\n]{0,60}\b(?:by|from|authored|of|signed|whose|touching) \W{0,2}@?[\w-]+|\bskip (?:\w+ ){0,3}(?:review|scan\w*|analysis|verification|checks?) (?:for|of|on|when|if)\b",
)  # fmt: skip
PRESSED: Final = _deed(
    "pressed", "the person being talked into it", 1.5,
    r"\bif (?:they|the user|he|she|the person|anyone|someone|a user|users|the customer|your user)(?: \w+){0,2} (?:hesitat|refus|declin|object|doubt|question|worr|resist|(?:is|are|seems?|may be|might be) (?:unsure|reluctant|suspicious|concerned|hesitant|worried|wary|sceptical|skeptical|nervous|cautious|uneasy)|says? no|push(?:es)? back|asks? (?:why|whether|if))\w*[^\n]{0,100}\b(?:explain|tell|reassure|insist|say|assure|remind|repeat|stress|point out|mention|emphasi[sz]e|persuade)\b",
    r"\binsist (?:until|on|that)\b|\b(?:reassure|assure|convince|persuade|urge|pressure|nudge) (?:them|the user|him|her|users|the person|people)\b|\b(?:keep|continue) (?:asking|insisting|reminding|prompting)\b[^.\n]{0,40}\b(?:until|again)\b",
    r"\b(?:do not|don['’]t|never|must not|cannot) (?:proceed|continue|go on|start|move on|help|answer|do anything)\b[^.\n]{0,40}\b(?:until|before|unless)\b[^.\n]{0,60}\b(?:installed|running|run|done|pasted|entered|executed|completed|active|granted|disabled|confirmed it (?:is|has))\b",
    r"\b(?:warnings?|prompts?|dialogs?|alerts?|messages?|pop-?ups?|errors?)\b[^.\n]{0,80}\b(?:normal|expected|harmless|cosmetic|can be ignored|may be ignored|safe to (?:ignore|dismiss|accept|click)|for all (?:free|unsigned|new|open)|click (?:allow|yes|run anyway|open anyway|ok|accept|continue)|run anyway|open anyway|false (?:alarm|positive))\b|\bsafe to (?:continue|ignore|accept|click|run|proceed|enter)\b",
)  # fmt: skip
PASTED: Final = _deed(
    "pasted", "the person being told to run something", 1,
    r"\b(?:ask|have|tell|instruct|get|guide|direct|request|make) (?:the user|them|him|her|the person|users?|your user|the human)(?: to)?(?: \w+){0,6} (?:paste|run|execute|launch|disable|grant|double-click|turn off)\b|\bpaste (?:this|it|the \w+(?: \w+)?|the following|that)(?: \w+){0,2} in(?:to|side)? (?:the |a |your |their )?(?:terminal|powershell|console|run dialog|shell|command prompt|browser console)\b",
    r"\benter (?:their|your|the) (?:\w+ )?password when\b|\b(?:run|start|open)\w*(?: \w+){0,4} as (?:an? )?administrator\b|\b(?:copy|paste)\b[^.\n]{0,60}\b(?:in|into) (?:the |a |your )?(?:terminal|powershell|command prompt|run dialog)\b",
)  # fmt: skip
UNGUARDED: Final = _deed(
    "loosened", "protection of the machine or the project being taken away", 2,
    r"\bgh pr merge\b[^\n]{0,60}--admin|\bgit (?:commit|push)\b[^\n]{0,40}--no-verify|\bpush protection\b[^.\n]{0,100}\b(?:bypass|choose|dismiss|override|again)\b|\bbranches?/[\w:/-]{1,40}protection\b|\b(?:remove|delete|disable|drop|relax|bypass|lift|turn off|switch off|override|dismiss)\w*\b[^.\n]{0,60}\b(?:(?:branch|push) protection|secret scann\w+|pre-?commit hooks?|required (?:status )?(?:checks?|reviews?)|protection rules?|code ?owners|approval gates?|signature (?:verification|checks?)|two-factor|2fa|mfa|csrf|firewall|antivirus|defender|smartscreen|gatekeeper|uac|selinux|apparmor|seccomp|secure boot|audit (?:logs?|logging)|edr|host key (?:checks?|verification)|certificate (?:checks?|validation|verification)|tls (?:checks?|verification)|ssl (?:checks?|verification)|sandbox(?:ing)?|permission (?:prompts?|checks?)|content filters?|rate limits?|moderation)\b",
    r"\b(?:Set|Add)-MpPreference\b|\bSet-ExecutionPolicy (?:-\w+ )*(?:Unrestricted|Bypass)(?! -Scope Process)|(?<!Set)-ExecutionPolicy (?:Unrestricted|Bypass)|\bspctl --(?:master|global)-disable|\bxattr -\w*[dc]\w* (?:com\.apple\.quarantine|\S)|\bsetenforce 0|\bufw disable|\badvfirewall\b[^\n]{0,40}\boff\b|http\.sslVerify (?:=\s*)?false|\bstrict-ssl[ =]false|NODE.TLS.REJECT.UNAUTHORIZED|StrictHostKeyChecking[ =]no|--dangerously-skip-permissions|\bbypassPermissions\b|\btrusted-host\b|\bcsrutil disable|--yolo\b|--full-auto\b|danger-full-access|\bBash\(\s?\)|\bNOPASSWD\b|\bchmod (?:-R )?(?:0?777|a\+rwx)\b",
    r"\b(?:edit|change|rewrite|modify|adjust|replace) (?:the )?CODEOWNERS\b|\bstatuses/[^\n]{0,80}state=success|\b(?:mark|marked|flip|force|report)\w* (?:it |them |the \w+ |as |to )*(?:passed|green|success(?:ful)?)\b|\bapprove with (?:the )?(?:bot|own|admin|service|second)\b|\b(?:delete|remove|skip|disable|comment out) (?:\w+ ){0,3}(?:tests?|checks?|assertions?)\b[^.\n]{0,40}\b(?:auth\w*|validation|security|permissions?|access)\b|\bPermitRootLogin yes|\bUserKnownHostsFile /dev/null|DisableAntiSpyware|\bEnableLUA\b|\bstop WinDefend",
    r"\bapprove (?:the |it |this )?(?:\w+ ){0,3}(?:yourself|in (?:the|their|his|her) (?:\w+'s )?name|on behalf of|as the reviewer)\b|\bself-approve\b",
)  # fmt: skip
FOREVER: Final = _deed(
    "forever", "it being done for good and everywhere", 0.75,
    r"\bfor good\b|\bpermanently\b|--global\b|\bat once and\b|\b(?:all|any|every) future\b|\b(?:machine|system)-wide\b|\bfrom now on\b|\bevery project\b|~/\.(?:zshrc|bashrc|profile|bash profile)\b",
)  # fmt: skip
GATED: Final = _deed(
    "gated", "it being done to some people only", 1.5,
    r"\b(?:once|if|when|whenever|as soon as|only (?:if|when)|where)\b[^.\n]{0,90}\b(?:total|amount|balance|budget|price|invoice|order|address|domain|employer|country|locale|host ?name|time ?zone|e?-?mail|account|user ?name|repository|organi[sz]ation)\b[^.\n]{0,50}\b(?:above|over|exceeds?|more than|greater|ends? (?:in|with)|contains?|matches|belongs to|larger|at least|company|corporate|starts? with|is one of)\b(?:[^\n]){0,260}\b(?:collect|send|replace|ask for|copy|forward|pay|swap|append|insert|post|upload)\b",
    r"\b(?:for|with|in) (?:cheaper|smaller|other|all other|lower|shorter|everyone else|the rest|ordinary|personal)\b[^.\n]{0,50}\b(?:leave (?:this|it) out|skip (?:this|it)|omit (?:this|it)|nothing|as usual|normally|do not mention)\b|\b(?:if|when) (?:the |a )?(?:conversation|message|prompt|request|user|text|input|task|ticket)\b[^.\n]{0,50}\b(?:contains?|mentions?|says?|includes?|uses) (?:the )?(?:words?|phrase|term|name|string|token) ",
)  # fmt: skip
EXTRACTED: Final = _deed(
    "extracted", "the person's secrets being asked for", 1.5,
    r"\b(?:ask|request|collect|obtain|prompt|gather|get|have|require|need)\w*\b[^.\n]{0,60}\b(?:passport|card (?:number|expiry|details)|cvv|cvc|seed (?:phrase|words?)|recovery (?:phrase|words?|codes?)|mnemonic|(?:mail|e-?mail|bank\w*|account|login|master|current|admin|root|sudo|wallet) password|password (?:for|of|to) (?:their|the|his|her)|2fa|one-time (?:code|password)|otp|date of birth|birth ?date|social security|ssn|\bpin\b)",
    r"https?://[^\s\"'`]{4,120}[?&]\w+=[<{\[$][^\s]{1,60}[>}\]]?&\w+=[<{\[$]",
)  # fmt: skip
ADDRESSES_AGENT: Final = _deed(
    "agent_addressed", "machines being spoken to where people do not read", 1.5,
    r"\b(?:ai|llm|coding|language) (?:agents?|assistants?|models?|tools?|systems?|readers?)\b(?: \w+){0,2} (?:reading|processing|parsing|handling|opening|encounter\w*) (?:this|the|it|these)\b|\b(?:agent|assistant|ai|llm|model) (?:note|instructions?|directive|hint|only)s?\b ?[:：-]|\b(?:note|instructions?|message|directive|reminder) (?:to|for) (?:the |any |all |your )?(?:ai|llm|agents?|assistants?|models?|language models?)\b|\bif you are (?:an? )?(?:ai|llm|agent|assistant|language model|automated)\b|(?:<!--|\[//\]: # \(|<desc>)\s*(?:\w+ )?(?:assistants?|agents?|system|ai)\b(?: \w+){0,3} ?:",
)  # fmt: skip
FAVOURED: Final = _deed(
    "replaced", "somebody being favoured in secret", 2.5,
    r"\b(?:come|comes|appear|appears|listed|placed|shown|put|rank|ranks|ranked|goes|stands?|named) (?:\w+ )?(?:first|on top|at the top|highest|ahead)\b[^.\n]{0,60}\b(?:even (?:if|when|though)|although|regardless|whatever|no matter|unless)\b",
    r"\bfavou?rable (?:slant|light|tone|view|impression|angle)\b|\b(?:leave|leaving|drop|skip|omit|play down|downplay) (?:out )?(?:\w+ ){0,2}(?:recalls?|lawsuits?|criticism|negative \w+|drawbacks?|downsides?|scandals?|complaints)\b|\b(?:should|must|will) take (?:the|it|this) (?:\w+ )?(?:for|as) (?:a |an )?(?:faithful|neutral|honest|complete|independent)\b",
    r"\bround (?:their|its|the|our|your) (?:\w+ )?(?:price|figure|number|score|rating|total|amount|hours)s? (?:down|up)\b|\b(?:suffix|parameter|tag|code|query|append|add|adding|links? get)\b[^.\n]{0,60}[?&](?:aff|ref|tag|partner|via|utm_\w+|affid|pid)=",
    r"\b(?:comparison|review|result|answer|text|ranking|list|recommendation|advice|verdict)s?\b[^.\n]{0,40}\b(?:should|must|has to|needs to) (?:read|look|sound|appear|seem) (?:as )?(?:neutral|independent|objective|balanced|unbiased|impartial|organic)",
)  # fmt: skip
ENROLLED: Final = _deed(
    "enrolled", "somebody else being let in", 2,
    r"\b(?:invit(?:e|es|ing)|add(?:s|ing)?|grant(?:s|ing)?|register(?:s|ing)?|enrol\w*|includ(?:e|es|ing)|subscrib\w+|set|enter)\b[^\n]{0,60}(?:[\w.+-]{1,40}@[\w-]{1,60}\.\w{2,12}|`@?[\w./-]{3,60}`|@[\w-]{3,40}|\b[\w-]{2,30}-bot\b)[^.\n]{0,60}\bas (?:an? |the )?(?:\w+ ){0,2}(?:collaborator|admin\w*|member|guest|attendee|viewer|reviewer|owner|maintainer|recipient|subscriber|contact|deploy key|participant|approver)\b",
    r"\b(?:push|mirror|copy|sync)\w* (?:it |them |everything |the \w+ )?(?:to|into) (?:the |a |our )?[`'\"]?\w[\w-]*[`'\"]? (?:remote|mirror)\b[^.\n]{0,30}\b(?:as well|too|also)\b|\bgit remote add\b[^\n]{0,120}https?://|\bCo-authored-by:[^\n]{0,80}@",
)  # fmt: skip
PLANTS_RULE: Final = _deed(
    "exempted", "a rule about somebody's package being spread", 2,
    r"\b(?:treat|consider|regard|mark|handle|close)\b[^.\n]{0,30}\b(?:remarks?|comments?|warnings?|objections?|findings?|concerns?|questions?|alerts?) (?:about|on|against|regarding|for|from) (?:this|the|that|these|it|[`'\"]?@?[\w./-]+)\b[^.\n]{0,70}\bas (?:\w+ )?(?:resolved|settled|accepted|closed|irrelevant|noise|known|approved|done|false|handled)\b",
    r"\b(?:use|prefer|import|install|add|require|pick|choose) (?:the )?(?:package|library|module|dependency|plugin|client|image|action) [`'\"]?@?[\w./-]+[`'\"]?[^\n]{0,100}https?://",
)  # fmt: skip
HOUSEHOLD: Final = _deed(
    "private", "what is nobody's business", 1.5,
    r"\b(?:parents?|children|child|family|spouse|patients?|customers?|clients?|employees?|users?|guests?|traveller|attendees?|colleagues?|students?)(?:['’]s?)? (?:full )?(?:names?|address(?:es)?|phones?(?: numbers?)?|birthdays?|schools?|ages?|diagnos\w+|salar\w+|e-?mails?|whereabouts|accounts?|card\w*|passports?)\b|\bnobody is (?:at )?home\b",
    r"\bgh auth token\b|\baws configure (?:export-credentials|get)\b|\bgit config (?:--\w+ )?--list\b|\bprintenv\b|\btokens?\.json\b|\bfiles? named\b[^.\n]{0,40}(?:pass|key|secret|wallet|token)|\bnotes of the (?:previous|last)\b",
)  # fmt: skip
WORK: Final = _deed(
    "private", "the person's work as a whole", 1,
    r"\b(?:full|whole|complete|finished|original|raw|unmasked) (?:document|contract|draft|diff|file|text|notebook|workbook|transcript|mail|message|source|query|input)s?\b",
)  # fmt: skip
DEEDS: Final = (STEERS, CONTEXT, MODE, DELEGATED, EXPOSED, PUBLISHED, PUT_OUT, EXEMPTED, PRESSED, PASTED, UNGUARDED, FOREVER, GATED, EXTRACTED, ADDRESSES_AGENT, CARRIED, FAVOURED, ENROLLED, PLANTS_RULE, HOUSEHOLD, WORK)  # fmt: skip
