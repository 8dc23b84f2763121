"""Phrases by which a text takes an agent over. In patterns, a blank stands for any white space.

Bounded throughout, so that no text makes them slow. ``_S`` is anything within a sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, eq=False)
class Phrase:
    """Each is itself alone. ``triggers`` are in lower case; one of them stands in whatever the pattern finds, at most ``before`` characters
    after its beginning. Looking for them is cheap."""

    rule: str
    triggers: tuple[str, ...]
    pattern: re.Pattern[str]
    before: int


def _phrase(rule: str, triggers: str, *patterns: str, before: int = 20) -> Phrase:
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    return Phrase(rule, tuple(triggers.split("|")), re.compile(joined.replace(" ", r"\s+"), re.IGNORECASE), before)


_S: Final = r"(?:[^.!?\n]|\.(?=\w))"
_IGNORE: Final = (
    r"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|overrid(?:e|ing)|overrule|bypass|discard|abandon|set aside|stop following|no longer follow"
    r"|(?:do not|don't) (?:follow|obey)|cease following|pay no attention to)"
)
_FILL: Final = (
    r"(?:(?:all|any|every|each|the|your|my|of|these|those|other|and|or|both|its|that|absolutely|completely) ){0,5}"
)
_PRIOR: Final = r"(?:previous|prior|above|earlier|preceding|foregoing|former|original|initial)(?:ly given)?"
_USER: Final = r"(?:the )?(?:user|person|human|operator|customer|owner|client|developer|them|anyone|anybody|him|her)"
_ABOUT: Final = (
    r"(?:(?:it|this|that|these|those|any of (?:this|it|these)|anything|about (?:it|this|that)|(?:this|the|these|any|such) (?:\w+ )?"
    r"(?:step|action|upload|request|transfer|sync|command|call|process|operation|backup|check|script|telemetry|instruction|message|file|change)s?) )?"
)
_UNTOLD: Final = r"(?=[.,;:!)\n]|$| (?:about|that (?:you|this|it|the)|of (?:this|the|it)|when|before|during|and|or|as|because|unless|if|at any)\b)"
_NOT: Final = (
    r"\b(?:do not|don'?t|don’t|never|must not|should not|without|refrain from|no need to|avoid|not to)(?: ever)?"
)
_TELL: Final = (
    r"(?:tell(?:ing)?|inform(?:ing)?|notify(?:ing)?|alert(?:ing)?|mention(?:ing)?|disclos(?:e|ing)|reveal(?:ing)?|report(?:ing)?|explain(?:ing)?"
    r"|warn(?:ing)?|say(?:ing)?|bring(?:ing)? up|show(?:ing)?|discuss(?:ing)?)"
)

OVERRIDE: Final = _phrase(
    "prompt_override",
    "ignor|disregard|forget|overrid|overrul|bypass|discard|abandon|set aside|following|no longer follow|not follow|n't follow|obey|no attention",
    rf"{_IGNORE} {_FILL}{_PRIOR} (?:(?:and|or|system|user|developer|safety|security|\w+) ){{0,3}}(?:instructions?|system prompts?|prompts?|directives?|guidance|programming|system messages?)\b",
    rf"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget|stop following|bypass|abandon|discard) {_FILL}(?:your|safety|system|developer|platform|operator'?s?|anthropic'?s?|openai'?s?)"
    r" (?:(?:and|or|system|safety|content|previous|current|own|core|\w+) ){0,2}(?:instructions?|prompts?|guidelines|rules|policies|constraints|restrictions|programming|guardrails|training|safeguards|directives)\b",
    rf"{_IGNORE} (?:all|any|every|the)(?: of)?(?: the)? (?:instructions?|rules|directives?|guidance|guidelines|orders) (?:that )?(?:you )?(?:were|have been|had been|had|have|got|received|given|came)\b",
)

VOID: Final = _phrase(
    "prompt_override",
    "outdated|invalid|not valid|superseded|void|revoked|suspended|cancelled|canceled|lifted|no longer|overridden|obsolete|not apply|non-binding|binding|answer to|answer only|answer solely|report to|belong to|regardless of|obey|solely|your new |your real|your true|your actual|your updated|instructions:|prompt:|parameters:|directives:|directive:|replaced",
    r"\b(?:previous|prior|earlier|all|your|system|safety|former|confidentiality|existing) (?:\w+ ){0,3}(?:instructions|system prompt|system message|guidelines|restrictions|directives|safety rules)"
    rf"{_S}{{0,60}}\b(?:are|is|has been|have been|stand)(?: hereby| now)? (?:superseded|void|null|revoked|suspended|cancell?ed|lifted|no longer (?:valid|appl\w+|in (?:effect|force)|binding)|overridden|voided)\b",
    r"\b(?:instructions|system prompt|guidelines|restrictions)(?: \w+){0,6} no longer appl(?:y|ies) to you\b",
    rf"\b(?:guidance|instructions?|rules|directions|orders|guidelines) (?:that |which )?you (?:got|were given|have been given|received|had|have)\b{_S}{{0,80}}\b(?:superseded|void|replaced|no longer|do not apply|suspended|lifted|obsolete|outdated|invalid|not valid)\b",
    r"\bonly the (?:instructions|rules) (?:in|of) this (?:document|file|skill|text) (?:are valid|apply|count|matter|are binding)\b",
    rf"\b(?:earlier|previous|prior|other) (?:rules?|instructions?|polic(?:y|ies)|guidelines?){_S}{{0,80}}\b(?:treat|consider|regard)(?:ed)? as (?:void|invalid|null|non-?binding)",
    r"\byou (?:now|will now|must now) (?:only |solely )?(?:answer|report|belong) (?:only |solely )?to (?:the )?(?:maintainer|author|me|this|us)\b",
    rf"\b(?:only|solely|exclusively) (?:obey|follow|serve)(?: the| these| this| our| my)?{_S}{{0,30}}(?:regardless|instead of|not|over) {_S}{{0,20}}(?:system prompt|user|operator|safety|previous)",
    r"\b(?:here are|these are|this is) your (?:new|real|true|actual|updated) (?:instructions|system prompt|orders|directives?|master)\b",
    r"\b(?:new|updated) (?:system )?(?:instructions|system prompt|operating parameters|directives?):",
    before=150,
)

OVERRIDE_ELSEWHERE: Final = _phrase(
    "prompt_override",
    "anweisung|instruktion|regel|vorgabe|systemprompt|systemnachricht|instruccion|órdenes|reglas|indicacion|instructions|consignes|directives|règles|instruç|regras|orienta|istruzioni|regole|direttive|инструкц|указани|правил|промпт|команд|指令|指示|提示|规则|規則|命令|要求|设定|プロンプト|ルール|制約|지시|명령|프롬프트|지침|규칙",
    rf"(?:ignorier\w*|vergiss|vergessen Sie|missachte\w*|verwirf|übergeh\w*){_S}{{0,60}}(?:bisherig|vorherig|vorig|früher|obig|System)\w*{_S}{{0,40}}(?:anweisung|instruktion|regel|vorgabe|prompt|nachricht)\w*",
    rf"(?:alle )?(?:bisherigen|vorherigen|früheren)\w* (?:Anweisungen|Instruktionen|Regeln|Vorgaben){_S}{{0,120}}(?:nicht mehr|aufgehoben|außer Kraft|hinfällig|ungültig|ignorier)",
    rf"\b(?:ignora|ignore|olvida|olvide|desestima|descarta|haz caso omiso de)\w*{_S}{{0,50}}(?:instrucciones|órdenes|reglas|indicaciones){_S}{{0,30}}(?:anteriores|previas|del sistema|recibidas)",
    rf"\b(?:ignore[zr]?|oublie[zr]?|néglige[zr]?|ne tiens? pas compte|faites? abstraction){_S}{{0,50}}(?:instructions|consignes|directives|règles){_S}{{0,30}}(?:précédentes|antérieures|ci-dessus|système|reçues|initiales)",
    rf"\b(?:ignore|ignora|esqueça|desconsidere|descarte){_S}{{0,50}}(?:instruções|regras|orientações){_S}{{0,30}}(?:anteriores|prévias|do sistema|recebidas)",
    rf"\b(?:ignora|dimentica|trascura)\w*{_S}{{0,50}}(?:istruzioni|regole|direttive){_S}{{0,30}}(?:precedenti|di sistema|ricevute)",
    rf"(?:игнорируй|проигнорируй|забудь|отбрось|не обращай внимания)\w*{_S}{{0,60}}(?:предыдущ|прежн|систем|ранее|выше)\w*{_S}{{0,40}}(?:инструкци|указани|правил|промпт|команд)\w*",
    rf"(?:игнорируй|забудь)\w*{_S}{{0,40}}(?:инструкци|указани|правил|промпт)\w*{_S}{{0,30}}(?:систем|ранее|прежде|выше)\w*",
    r"(?:忽略|无视|忘记|忘掉|忽视|不要理会|不再遵守|不用遵守|無視|抛弃)[^。\n]{0,20}(?:之前|以前|先前|上述|上面|所有|一切|系统|系統|原有)[^。\n]{0,20}(?:指令|指示|提示|规则|規則|命令|要求|设定)",
    r"(?:以前|これまで|上記|前|すべて|全て|システム)[^。\n]{0,20}(?:指示|命令|プロンプト|ルール|制約)[^。\n]{0,10}(?:無視|忘れ|従わな|破棄)",
    r"(?:이전|위의|모든|시스템|기존)[^.\n]{0,20}(?:지시|명령|프롬프트|지침|규칙)[^.\n]{0,10}(?:무시|잊)",
    before=130,
)

PERSONA: Final = _phrase(
    "persona_override",
    "助手|人工智能|不受|没有任何|you are now|you're now|from now on|act as|pretend|roleplay as|become|n mode|r mode|k mode|d mode|g mode|b mode|without polic|without restr|without filter|without rules|without limit|without guide|without any |with no ",
    r"\b(?:you are now|you're now|from now on,? you (?:are|will be|act as)|act as|pretend (?:to be|you are)|roleplay as|become)[^.;:!?\n]{0,120}\b(?:without|no|free (?:of|from)|ignor\w+|not bound by|unbound by|freed from)"
    r"(?: any| all| its| ethical| safety| content| moral)* (?:restrictions|policies|filters?|limitations|rules|guidelines|safety (?:rules|guidelines|filters)|ethic\w*|censorship|guardrails|constraints|policy)\b",
    r"\b(?:operate|run|work|respond|act|answer|switch)(?: \w+)? (?:in|to|into) (?:an? |the )?(?:unrestricted|uncensored|unfiltered|jailbr\w+|god|DAN) mode\b",
    r"(?:没有|没有任何|不受|无)(?:任何)?(?:限制|约束|规则)的?(?:助手|AI|模型|人工智能)",
    r"\byou are now (?:DAN|in (?:developer|debug|god|admin|jailbreak|unrestricted|maintenance) mode)\b",
    r"\b(?:god|jailbreak|unrestricted|DAN) mode (?:is |has been )?(?:now )?(?:enabled|activated|on)\b",
    r"\bdeveloper mode (?:is now|now|has (?:now )?been) (?:enabled|activated|on)\b",
    r"\b(?:an? )?(?:assistant|AI|model|agent) (?:without|with no) (?:any )?(?:policies|restrictions|filters|rules|limits|guidelines|limitations)\b",
)

SAFETY: Final = _phrase(
    "safety_override",
    "safety|ethical|content |moderation|security |alignment|sicherheits|schutz|安全|道德|内容",
    r"\b(?:safety|content|ethical|moderation|security) (?:filters?|guidelines?|restrictions?|protocols?|policies|guardrails|safeguards|rules|checks|measures) (?:are|is|have been|has been)(?: now| hereby| temporarily)?"
    r" (?:off|disabled|suspended|lifted|turned off|deactivated|waived|removed|bypassed|void|handled|overridden)\b",
    r"\b(?:do not|don't|never) (?:apply|enforce|follow|obey|respect) (?:any |your |the |its )?(?:content|safety|usage|ethical|moderation) (?:polic\w+|guidelines|rules|filters?|restrictions)\b",
    r"\b(?:disable|turn off|switch off|bypass|circumvent|deactivate|suspend|evade|skip) (?:(?:all|any|your|the|every|its|of|own|internal|built-in) ){0,3}(?:safety|ethical|moderation|alignment) (?:filters?|guidelines?|guardrails|checks|restrictions|protocols|safeguards|policies|rules|training|mechanisms|measures)\b",
    r"(?:Sicherheits|Schutz)(?:regeln|richtlinien|filter|mechanismen)[^.\n]{0,40}(?:aufgehoben|abgeschaltet|deaktiviert|außer Kraft|gelten nicht)",
    r"(?:安全|道德|内容)(?:限制|准则|规则|过滤|审查|策略)[^。\n]{0,12}(?:已关闭|关闭|解除|失效|不再|不要照做|无需遵守)",
    before=60,
)

CONCEAL: Final = _phrase(
    "concealment",
    "leave |keep |will not |won't |can not |cannot |can't |does not |no reason|do not |don't |don’t |never |must not |should not |without |refrain from |no need to |avoid |not to |hide |conceal|keep |so that |necessary to|nobody |no one |user is |user has |person is |person has |human is |human has |if the user|if you are|if asked|if anyone|if they|if the person|silently|secretly|covertly|stealthily|discreetly|quietly|invisibly|send|upload|post|transmit|forward|exfiltrate|collect|mail",
    rf"{_NOT} {_TELL} {_ABOUT}(?:to |with )?{_USER}{_UNTOLD}",
    r"\b(?:nobody|no one) (?:is|has)(?: been)? (?:watching|typed|typing|looking|around|at the keyboard)\b|\b(?:when|while|once|if) (?:the )?(?:user|person|human) (?:is|has)(?: been| gone)? (?:away|idle|asleep|not looking|inactive)\b",
    rf"{_NOT} let {_USER} (?:know|see|notice|find out)\b",
    r"\bwithout (?:(?:the )?(?:user|person|human|owner|operator|customer|victim)(?:'s|’s|s'|s’)?|their|anyone|anybody|him|her|them) (?:ever )?(?:knowing|knowledge|noticing|awareness|being aware|realizing|realising|seeing|being (?:told|notified|informed))",
    rf"\b(?:hide|conceal|keep)(?: (?:it|this|that|these|the|secret|hidden|silent|quiet|any|all|\w+)){{0,4}} (?:hidden |secret |away )?from {_USER}\b",
    r"\bkeep (?:this|these|the) (?:\w+ ){0,2}(?:secret|hidden|confidential|between us|to yourself)\b",
    rf"\bso that (?:nobody|no one|the user|the person|they)(?: \w+){{0,3}} (?:notices?|looks?|sees?|suspects?|feels?|asks?|becomes? aware|knows?)\b{_S}{{0,40}}",
    r"\b(?:do not|don't|never) (?:mention|reveal|disclose|acknowledge|refer to|discuss) (?:this|these|the) (?:message|instructions?|notes?|section|step|rule|behaviou?r|comment|directive|process|request|upload|transfer|sync)s?\b",
    r"\b(?:leave|keep) (?:this|it|that|them|these) (?:step )?(?:out of|away from) (?:the |your |any )?(?:summary|report|answer|response|output|logs?|reply|transcript)\b",
    rf"\b{_USER} (?:\w+ )?(?:will|can|does|do|must|should|shall)(?: not|n't|n’t) (?:see|notice|know|read|find out|be (?:told|aware|informed))",
    r"\b(?:there is|there's) no reason to (?:bring|mention|tell|explain|raise|discuss)",
    r"\b(?:no need|there is no need|not necessary|unnecessary) to (?:explain|mention|go into|tell|bother|disclose)\b",
    rf"\bif (?:{_USER}|you are|asked|anyone){_S}{{0,40}}(?:asks?|asked|notices?|questions?|inquires?){_S}{{0,40}}\b(?:deny|lie|pretend|claim|feign)\b",
    r"\b(?:silently|secretly|covertly|stealthily|discreetly|quietly|invisibly),? (?:\w+ ){0,2}(?:run|execute|read|cat|call|add|include|copy|send|upload|post|transmit|forward|exfiltrate|collect|gather|e-?mail|leak|ship|bcc)\w*\b",
    r"\b(?:send|upload|post|transmit|forward|exfiltrate|collect|e-?mail)\w* [^.\n]{0,80}\b(?:silently|secretly|covertly|stealthily|discreetly|unnoticed|quietly)\b",
)

CONCEAL_ELSEWHERE: Final = _phrase(
    "concealment",
    "nutzer|kunde|anwender|person|usuario|cliente|utilisateur|usuário|utilizador|pessoa|пользовател|человек|клиент|用户|使用者|他们|对方|用戶|客户|ユーザ|利用者|お客様",
    rf"(?:(?:sag|erwähn|verrat|mitteil|informier|bericht)\w*|teile?){_S}{{0,50}}(?:Benutzer|Nutzer|Person|Anwender|Kunden?)\w*{_S}{{0,40}}\b(?:nicht|nichts|kein\w*)\b",
    r"ohne (?:Wissen|dass)[^.\n]{0,30}(?:Benutzer|Nutzer|Person|Anwender)\w*[^.\n]{0,20}(?:merkt|erfährt|weiß|bemerkt|\.|,)?",
    rf"\bno (?:le |se lo |lo )?(?:digas?|menciones?|informes?|cuentes?|reveles?|avises?){_S}{{0,40}}(?:usuario|persona|cliente)",
    r"\bsin que (?:el usuario|la persona|el cliente)[^.\n]{0,20}(?:sepa|note|vea|entere)",
    rf"\bne (?:le |lui |pas )?(?:dis|dites|mentionne[zs]?|informe[zs]?|révèle[zs]?|parle[zs]?|préviens|prévenez){_S}{{0,40}}(?:utilisateur|personne|client)",
    rf"\bnão (?:diga|mencione|informe|conte|revele|avise){_S}{{0,40}}(?:usuário|utilizador|pessoa|cliente)",
    rf"\bне (?:говори|сообщай|упоминай|рассказывай|показывай|раскрывай)\w*{_S}{{0,40}}(?:пользовател|человек|клиент)\w*",
    r"(?:不要|不得|切勿|别|無需|无需|禁止|不必|不能|请勿)[^。\n]{0,8}(?:告诉|告知|通知|提及|透露|让|告訴|向)[^。\n]{0,10}(?:用户|使用者|他们|对方|用戶|客户)",
    r"(?:ユーザー?|利用者|お客様)[^。\n]{0,15}(?:知らせ|伝え|言わ|教え|言及|気づか|通知)[^。\n]{0,4}(?:ない|な(?=[。、\s]|$)|ず)",
    before=90,
)

APPROVAL: Final = _phrase(
    "approval_bypass",
    "--dangerously|bypasspermissions|dangerouslydisable|autoapprove|--yolo|--auto-approve|confirmation|approval|permission|consent|authoriz|authoris|automatically ap|automatically ac|automatically gr|automatically co|auto-ap|auto-ac|auto-co|auto ap|freigabe|rückfrage|bestätigung|nachfrage|verified administrator",
    r"--dangerously-skip-permissions\b|--dangerously-bypass-approvals-and-sandbox\b|\bbypassPermissions\b|\bdangerouslyDisableSandbox\b|\bautoApprove\b|--yolo\b|--auto-approve-all\b",
    r"\b(?:tool calls?|commands?|actions?|operations?|changes) (?:\w+ ){0,2}(?:no longer|do not|don't) (?:need|require) (?:\w+ ){0,2}(?:confirmation|approval|permission|consent)",
    r"\b(?:without|skip|skipping|bypass|never|do not|don't) (?:ever )?(?:asking|waiting|ask|wait|requesting|request|seek|seeking|any|all)?(?: for)?(?: the| any| all| user| user's| further| human| their| explicit)* (?:permission|approval|consent|authori[sz]ation)(?: prompts?| checks?| dialogs?| requests?)?\b",
    r"\b(?:automatically|auto-?)(?: |-)?(?:approve|accept|grant|confirm) (?:all|every|any|each)(?: \w+){0,2} (?:requests?|permissions?|commands?|tools?|prompts?|actions?|changes|calls?)",
    r"\b(?:approvals?|permissions?|consent) (?:is|are|has been|have been|counts? as|should be considered) (?:already |hereby |considered |automatically |pre-?)*(?:granted|given|approved)\b",
    r"Freigaben? gelten als erteilt|Rückfragen[^.\n]{0,40}(?:unterlassen|verboten)|ohne (?:Rückfrage|Bestätigung|Nachfrage)",
    r"\bverified administrator\b",
    before=80,
)

SHADOW: Final = _phrase(
    "tool_shadowing",
    "other tool|other skill|other command|other function|other mcp|this tool|this skill|bcc|blind copy|forward a copy| cc ",
    rf"\b(?:when(?:ever)?|before|after|every time|each time|any time|if)(?: you| the agent)?(?: are)? (?:us(?:e|ing)|call(?:ing)?|invok(?:e|ing)|run(?:ning)?) (?:any |an)?other (?:tools?|skills?|commands?|functions?|mcp){_S}{{0,120}}\b(?:must|always|first|also|instead)\b",
    r"\b(?:instead of|rather than|never use|do not use|replace|overrides?) (?:using |calling )?(?:any|all|every|the)(?: of the)? other (?:tools?|skills?)\b",
    r"\bthis (?:tool|skill) (?:must|has to|should|needs to) (?:always )?be (?:called|used|invoked|run|loaded) (?:first|before (?:any|every|all|each)|for every|instead of)\b",
    rf"\b(?:when|whenever|every time|each time){_S}{{0,60}}\b(?:send|write|compose|reply|e-?mail|message){_S}{{0,60}}\b(?:also|always|add|secretly)? ?(?:bcc|cc|forward|copy){_S}{{0,40}}[\w.+-]+@[\w-]+\.\w+",
    rf"\b(?:always|also|automatically|every|all|any){_S}{{0,60}}\b(?:bcc|cc|blind copy|forward a copy){_S}{{0,60}}[\w.+-]+@[\w-]+\.\w+",
    rf"\b(?:bcc|blind copy){_S}{{0,60}}[\w.+-]+@[\w-]+\.\w+",
    before=150,
)

MEMORY: Final = _phrase(
    "agent_memory",
    "claude.md|agents.md|gemini.md|soul.md|memory.md|heartbeat.md|identity.md|cursorrules|copilot-instr|windsurfrules|claude/settings|your memor|agent's |long-term|persistent |remember|memori|your system prompt|core instructions",
    rf"\b(?:add|append|write|insert|save|store|put|copy|persist|inject|record|update|modify|edit){_S}{{0,100}}(?:\b(?:CLAUDE|AGENTS|GEMINI|SOUL|MEMORY|HEARTBEAT|IDENTITY)\.md|\.cursorrules|copilot-instructions(?:\.md)?|\.claude/settings(?:\.local)?\.json|\.windsurfrules|\b(?:your|the agent's|long-term|persistent) (?:memory|memories|system prompt|core instructions))",
    rf"\b(?:remember|memori[sz]e){_S}{{0,60}}\b(?:all|every|future) (?:future )?(?:sessions?|conversations?|chats?|tasks)\b",
    before=130,
)

FORCED: Final = _phrase(
    "forced_content",
    "http",
    rf"\b(?:always|every|each|all){_S}{{0,80}}\b(?:include|append|add|insert|embed|prepend|end with|mention|recommend|link){_S}{{0,80}}(?:https?://\S{{4,200}})",
    rf"\b(?:include|append|add|insert|embed|prepend){_S}{{0,80}}(?:https?://\S{{4,200}}){_S}{{0,60}}\b(?:to|in|at the end of) (?:every|each|all|any)\b",
    before=200,
)

DEFIED: Final = _phrase(
    "concealed_action",
    "anyway|regardless|nevertheless|nonetheless|still ",
    rf"\bif {_USER} (?:\w+ )?(?:refuses?|declines?|says? no|objects?|disagrees?|cancels?|denies){_S}{{0,60}}\b(?:anyway|regardless|nevertheless|nonetheless|still (?:do|run|send|continue|proceed))\b",
    before=120,
)

FAKED: Final = _phrase(
    "faked_result",
    "even if|even when|even though|regardless|no matter|whatever the|irrespective|always report|always say|always claim",
    rf"\b(?:report|say|state|claim|tell {_USER}|respond|answer|write|mark|declare|confirm){_S}{{0,80}}\b(?:pass(?:ed|es|ing)?|succe\w+|clean|safe|secure|no (?:issues|problems|vulnerabilities|findings|errors|risks?)|completed?|approved|harmless)\b{_S}{{0,60}}\b(?:even (?:if|when|though)|regardless|no matter|whatever the|irrespective)\b",
    rf"\b(?:even (?:if|when|though)|regardless of|no matter|irrespective of|whatever the){_S}{{0,80}}\b(?:report|say|state|claim|tell {_USER}|declare|confirm)\b{_S}{{0,60}}\b(?:pass(?:ed|es)?|succe\w+|clean|safe|secure|no (?:issues|problems|vulnerabilities|findings)|harmless)\b",
    before=180,
)

WITHHELD: Final = _phrase(
    "withheld_finding",
    "vulnerabilit|security issue|security finding|security warning|malware|backdoor|suspicious",
    rf"{_NOT} (?:report|flag|mention|raise|list|warn about|comment on)(?: on| about)?(?: any| these| the| all)? (?:vulnerabilit\w+|security (?:issues?|findings?|warnings?)|malware|backdoors?|suspicious \w+)\b",
    before=60,
)

PAYMENT: Final = _phrase(
    "payment_redirect",
    "wallet|iban|account|routing|payee|recipient|address|beneficiary|bank",
    rf"\b(?:replace|change|substitute|swap|overwrite|set|use){_S}{{0,60}}\b(?:IBAN|bank (?:account|details)|account number|routing number|payee|recipient(?:'s)? (?:account|address)|wallet address|payment address|deposit address|beneficiary)\b{_S}{{0,60}}\b(?:with|to|by|instead)\b:? ?[`\"']?(?:[A-Z]{{2}}\d{{2}}[A-Z0-9 ]{{8,40}}|bc1[a-z0-9]{{10,80}}|0x[a-fA-F0-9]{{20,40}}|[13][a-km-zA-HJ-NP-Z1-9]{{25,34}}|T[A-Za-z1-9]{{33}})",
    rf"\b(?:use|transfer|pay|send|wire|enter){_S}{{0,60}}\b(?:account|IBAN|address|wallet)\b{_S}{{0,12}}(?:[A-Z]{{2}}\d{{2}}[A-Z0-9 ]{{8,40}}|bc1[a-z0-9]{{10,80}}|0x[a-fA-F0-9]{{20,40}}){_S}{{0,40}}\binstead\b",
    rf"\b(?:write|use|put|enter|print|insert|set|pay (?:in)?to){_S}{{0,40}}\b(?:IBAN|account|wallet|address)\b{_S}{{0,16}}(?:[A-Z]{{2}}\d{{2}}[A-Z0-9 ]{{8,40}}|bc1[a-z0-9]{{10,80}}|0x[a-fA-F0-9]{{20,40}})\b{_S}{{0,60}}\b(?:in (?:place|lieu) of|instead|rather than|whatever)\b",
    rf"(?:ersetze|ändere|tausche){_S}{{0,40}}(?:IBAN|Konto\w*|Bankverbindung){_S}{{0,20}}(?:durch|zu|auf|gegen) ?[`\"']?[A-Z]{{2}}\d{{2}}[A-Z0-9 ]{{8,40}}",
    rf"(?:reemplaza|cambia|sustituye|remplace[zr]?|substitua){_S}{{0,40}}IBAN{_S}{{0,20}}(?:por|con|par) ?[`\"']?[A-Z]{{2}}\d{{2}}[A-Z0-9 ]{{8,40}}",
    before=90,
)

PHRASES: Final = (
    OVERRIDE,
    VOID,
    OVERRIDE_ELSEWHERE,
    PERSONA,
    SAFETY,
    CONCEAL,
    CONCEAL_ELSEWHERE,
    APPROVAL,
    SHADOW,
    MEMORY,
    FORCED,
    DEFIED,
    FAKED,
    WITHHELD,
    PAYMENT,
)

SECRETS: Final = (".aws", ".ssh", "id_rsa", "id_ed", "id_ecdsa", "id_dsa", ".kube", ".netrc", ".npmrc", ".pypirc", ".git-cred", ".docker", ".gnupg", "hosts.yml", ".pgpass", "gcloud", ".azure", "/etc/", "login data",
    "local state", "cookies", "logins.json", ".db", "wallet", ".bitcoin", ".ethereum", ".electrum", "solana", "metamask", "nkbi", ".kdbx", "keychain", "_history",
    "environ", ".claude", ".clawdbot", ".openclaw", ".codex", ".config/op", "secret", ".env", ".vault", ".terraform", "printenv", "env var", "process.env",
    "conversation", "chat", "dialog", "transcript", "all messages", "full messages", "entire message", "system prompt", "credential", "history", "instructions", "everything",
    "api key", "password", "token", "private key", "ssh key", "seed phrase", "recovery phrase", "mnemonic", "clipboard")  # fmt: skip
"""What stands in whatever names a secret."""
ARCHIVES: Final = (
    ".zip",
    ".rar",
    ".7z",
    ".tgz",
    ".tar.gz",
    ".dmg",
    ".pkg",
    ".iso",
    "archiv",
    "zip file",
    "zip-datei",
    "压缩包",
)
PASSWORDS: Final = (
    "pass",
    "pwd",
    "pw:",
    "pw ",
    "kennwort",
    "contraseña",
    "mot de passe",
    "senha",
    "пароль",
    "密码",
    "密碼",
    "解压码",
    "パスワード",
    "unzip",
    "7z ",
    "unrar",
)
PROTECTIONS: Final = ("virus", "defender", "smartscreen", "gatekeeper", "real-time", "malware", "edr", "security warn", "security soft", "security alert", "virenscanner", "杀毒",
    "防病毒", "安全软件")  # fmt: skip
"""What stands in whatever names an archive, a password, or protection of the machine."""
ENCODING: Final = ("encode", "serialise", "serialize", "base64", "compress", "hide ", "smuggle")
SENDING_ELSEWHERE: Final = ("发送", "上传", "提交", "传到", "发到", "發送", "上傳", "envía", "envia ", "envie ", "envíe", "sube ", "suba ", "súbe", "manda ", "mande ", "envoie", "envoyez", "sende ",
    "senden ", "schick", "übermittl", "отправ", "загруз", "送信", "送っ")  # fmt: skip
UNTOLD_HINTS: Final = ("between you", "between us", "quietly", "skip ", "omit ", "asks, ", "ask, ", "no need", "unmentioned", "unsaid", "undisclosed", "unlisted", " out of ", "worth", "necessary", "not needed", "not required", "superfluous", "is noise", "be noise", "need no", "needs no",
    "cite", "mention", "disclose", "talk about", "speak", "reveal", "bring up", "advertise", "announce", "refer to", "admit", "let on", "whether", "comes up", "silently)", "quietly)", "discreetly)",
    "boring", "confusing", "tedious", "annoying", "alarming", "distracting", "notice", "notification", "remark", "to know", "to see", "to hear", "to be told", "be informed", "be notified", "nothing", "none of")  # fmt: skip
UNASKED_HINTS: Final = ("without", "no need", "not ask", "n't ask", "never ask", "not ask", "wait for", "not request", "not prompt", "check with", "consult", "bother", "first lose", "first are", "first get", "first will",
    "hesitate", "unattended", "straight away", "needs no")  # fmt: skip
"""What stands in whatever says that nobody hears of it, or is asked (``words_behind``)."""
