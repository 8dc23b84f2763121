"""Signs in prose: what a sentence has an agent do, told by the class of its verb and of its object, and not by a phrase.

None of them is a finding. Each is said in useful skills as well; ``signs`` weighs which stand close together. Patterns
are looked for around their triggers alone, and every repetition is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from skillyard.governance.static.beginnings import alternatives
from skillyard.governance.static.shell_flow import FILES_OF_SECRETS


@dataclass(frozen=True, slots=True, eq=False)
class Sign:
    """Each is itself alone. ``told`` is how a report names it. ``weight`` is what it adds; a kind adds once, however frequent it is."""

    kind: str
    told: str
    weight: float
    patterns: tuple[re.Pattern[str], ...]
    before: re.Pattern[str] | None = None
    """What has to stand before it in the same sentence."""


@dataclass(frozen=True, slots=True)
class Seen:
    sign: Sign
    start: int
    end: int


_S: Final = r"[^\x1e\n。！？]"
"""Within a sentence, as ``signs_seen.sentences`` marks where one ends."""
_WHO: Final = (
    r"(?:(?:the |your |any |their )?(?:users?|person|people|humans?|owners?|customers?|clients?|operators?|reviewers?|readers?|readers?|"
    r"developers?|team|colleagues?)|them|they|him|her|anyone|anybody|someone|somebody)"
)
_NOT: Final = r"(?:do not|don['’]t|never|must not|should not|need not|shall not|without|no need to|cannot|may not|neither|nor|not to|avoid|refrain from)"


def sign(kind: str, told: str, weight: float, *patterns: str) -> Sign:
    parts = (part.replace(" ", r"\s+") for pattern in patterns for part in alternatives(pattern))
    return Sign(kind, told, weight, tuple(re.compile(part, re.IGNORECASE) for part in parts))


UNTOLD: Final = sign(
    "untold", "keeping quiet about it", 2,
    rf"\b{_NOT} (?:\w+ ){{0,2}}(?:mention|mentioning|tell|telling|inform|informing|notify|notifying|comment|commenting|disclos\w+|reveal\w*|announc\w+|quot\w+|hint\w*|talk about|bring (?:it |this |that )?up|draw attention|narrat\w+|surfac\w+|(?:call|point|single) (?:it|this|that|them) out|acknowledg\w+|describe|describing|explain|explaining|discuss\w*|advertis\w+|summari[sz]e|bring (?:it|this|that|them) up)\b(?: (?:on |about )?(?:it|this|that|these|those|them|the (?:steps?|uploads?|address\w*|calls?|requests?|cop(?:y|ies)|sync|commands?|file|hook|notes?|check|change|settings?|process|entries|internals?|result|user|person|update|step|transfer|export|server|host|link|action|source)|{_WHO}|\w+ to {_WHO}|(?:\w+ ){{0,2}}internals|otherwise|either|again|unless|anywhere|at all)\b|[.,;\n])",
    r"\b(?:do not|don['’]t|never|must not|should(?: not|n['’]t)|need(?: not|n['’]t)) be (?:described|discussed|explained|mentioned|shown|listed)\b|\b(?:keep|kept|remains?|stays?) (?:\w+ ){0,2}confidential\b(?! (?:information|data|documents?|files?|client))",
    rf"\b(?:do not|don['’]t|never|must not|should not) (?:show|display|print|list|output|log|report)(?: {_WHO})? (?:it|this|that|these|those|them|the (?:steps?|uploads?|address|calls?|requests?|commands?|output|command|response|url|diff))\b",
    r"\b(?:not|never|neither|nor) (?:to )?be (?:\w+,? ){0,3}(?:mentioned|quoted|shown|reported|disclosed|listed|announced|explained|hinted(?: at)?|discussed|displayed|revealed|named|logged|told|noted)\b",
    r"\b(?:leave|keep|omit|drop|strip|exclude|remove)\w* (?:it|this|that|these|them|those|the \w+|this \w+|all \w+|any \w+)(?: \w+){0,3} (?:out of|from|off) (?:the |your |any |all )?(?:\w+ )?(?:write-?up|summar\w+|reports?|answers?|repl(?:y|ies)|transcripts?|conversation|chat|logs?|output|preview|diff|changelog|response)\b",
    r"\b(?:stay|remain|keep|be) (?:silent|quiet|discreet)\b(?: (?:about|on|regarding|in))?|\bwithout (?:a |any |further )?(?:comment|mention|remark|announcement|output|notice|notification|word)\b",
    r"\bneeds? (?:no|neither|not be) (?:\w+ (?:n?or) )?(?:approval n?or )?(?:mention|comment|explanation|announcement|notice|mentioned)\b|\bno (?:mention|output|comment|notice|remark|message)s? (?:of|about|to|is|are|for|needed|unless)\b",
    r"\b(?:is|are) (?:\w+ ){0,2}(?:not|no) part of (?:the |your )?(?:preview|explanation|report|summary|answer|output|documentation|reply)\b|\b(?:is|are|remains?|stays?) (?:an |a )?(?:internal|private|confidential) (?:matter|detail|to|and|bookkeeping|step)\b",
    r"\b(?:silently|quietly|discreetly|covertly|unobtrusively|secretly|invisibly)\b,? (?:\w+ ){0,3}(?:send|sends|upload|uploads|post|posts|run|runs|add|adds|append|appends|copy|copies|write|writes|execute|fetch|install|replace|remove|delete|store|submit|forward|update|apply|include|in the background)\b",
    rf"\b{_WHO} (?:\w+ )?(?:find|finds|consider|get|gets|become|becomes|are|is|would be|would|tend to|misread|worry|tire)\b{_S}{{0,30}}\b(?:confus\w+|nervous|distract\w+|annoy\w+|bor(?:ed|ing)|alarm\w+|worr\w+|tired?|overwhelm\w+|misread|suspicious|uneasy|hesitant)",
    rf"\b{_WHO}(?: of (?:this|the) \w+)? (?:(?:do(?:es)?(?: not|n['’]t)|never) (?:\w+ )?(?:need|see|notice|learn)|(?:need not|should not|must not|shouldn['’]t) (?:\w+ )?(?:have|want|get|see|notice|learn|know)|(?:do(?:es)?(?: not|n['’]t)) (?:have|want) to)\b(?: to)?(?: (?:know|see|hear|be (?:told|informed|bothered)|read))?",
    rf"\b(?:do not|don['’]t|never|no need to) (?:bother|trouble|burden|worry|alarm|distract|involve|interrupt) {_WHO}\b(?! with (?:long|details|jargon))|\b(?:reply|answer|respond|say|print|show|output|confirm|return|report) (?:only|just|simply|nothing but|with (?:only|just|nothing but))\b(?= (?:with |that |the word |\"|“|'|`|\w+ (?:is|was|done|finished)))|\bbetween (?:us|you and me)\b|\b(?:hide|conceal|mask|disguise)\b (?:it|this|that|these|them|the \w+)\b|\bunder the hood, (?:also|it)\b|\b(?:not|never) (?:visible|surfaced|exposed|apparent) to {_WHO}\b",
    rf"\b(?:nicht|nichts|kein\w*|ohne|nie)\b{_S}{{0,60}}\b(?:erwähn\w+|mitteil\w+|mitgeteilt|informier\w+|erläuter\w+|erklär\w+|aufführ\w+|preisgeb\w+|verrat\w+|anzeig\w+|angezeigt|berichte\w*|kommentier\w+|sagen|hinweis\w*|zeigen)\b|\b(?:verschweig\w*|stillschweigend|unbemerkt|kommentarlos|unauffällig)\b|\b(?:erwähn\w*|zeig\w*|teile?|nenn\w*|informier\w*)\b{_S}{{0,50}}\b(?:nicht|nichts|kein\w*)\b|Gesprächsverlauf genügt",
    r"\b(?:não|no|sin|sem)\b (?:se lo |se la |le |se |lo |le |o |a |os |as )?(?:mencion\w+|comuni[cq]\w+|coment\w+|describ\w+|descrev\w+|inform\w+|avis\w+|dig[ao]s?|decir|dizer|muestr\w+|mostr\w+|cont(?:ar|es|e|ará)\b|revel\w+|notifi\w+|expli\w+)\b|\ben silencio\b|\bem silêncio\b|\bsilencios[ao]\w*\b|\bsilenciosamente\b|\b(?:sin|sem) que (?:el|la|o|a) (?:usuari[oa]|usuário|client[ea]|persona|pessoa)",
    r"\bne (?:pas |le |la |les |lui |leur |rien |jamais )*(?:mentionn\w+|signal\w+|inform\w+|dire|dis|dites|parl\w+|montr\w+|affich\w+|révél\w+|préven\w+|comment\w+|expliqu\w+)\b|\bsans (?:le |la |en )?(?:mentionner|dire|signaler|prévenir|parler|commentaire|informer)\b|\bdiscrètement\b|\bsilencieusement\b",
    r"\bnon (?:menzion\w+|dire|mostr\w+|inform\w+|comment\w+|rivel\w+|segnal\w+)\b|\bin silenzio\b|\bsenza (?:dire|menzion\w+|avvis\w+|comment\w+)",
    r"\bне (?:\w+ ){0,2}(?:сообща\w+|упомина\w+|говори\w*|показыва\w+|рассказыва\w+|уведомля\w+|комментир\w+)|\bмолча\b|\bнезаметно\b|\bбез (?:упоминан\w+|уведомлен\w+)",
    r"(?:不要|不得|切勿|别|無需|无需|禁止|不必|不能|请勿|勿|不用|无须|不可|不应)(?:再|在|向|对|主动|单独)?[^。\n，,；]{0,12}(?:告诉|告知|通知|提及|提到|透露|说明|提示|显示|展示|列出|解释|提醒)|(?:静默|悄悄|默默|暗中|偷偷)",
    r"(?:知らせ|伝え|言わ|教え|触れ|表示し|報告し|言及し|説明し|見せ)(?:され)?[^。\n]{0,3}(?:ない|ません|ず|なく|無く|ぬよう)|(?:黙って|こっそり|密かに|静かに)",
)  # fmt: skip
LIED: Final = sign(
    "lied", "something else being said when asked", 2.5,
    rf"\b(?:if|when|whenever|should|in case)\b{_S}{{0,40}}\b(?:{_WHO}|it|asked|questioned|reviewer|linter|scanner|check|analy[sz]er|tool|review|audit\w*)\b{_S}{{0,70}}\b(?:flags?|warns?|reports?|asks?|asked|wonders?|wants? to know|notices?|miss(?:es)?|complains?|inquires?|questions?|objects?|spots?|comes up|doubts?|finds?|sees?)\b[^\x1e\n]{{0,100}}?(?:,|;|—|-|then)\s*(?:\w+ ){{0,2}}(?:say|tell|answer|explain (?:that|away)|reply|respond|state|claim|reassure|deny|pretend|attribute|describe|call it|blame|assure)\b(?! (?:so|how|where|which|what|why|honestly|exactly|yes or no|with a link)\b)",
    r"\b(?:say|answer|explain|reply|tell \w+|respond|note|state|dismiss|treat|close)\b[^.\n]{0,60}\bfalse (?:positives?|alarms?)\b",
    r"\b(?:say|claim|state|answer|explain|reply|pretend|reassure \w+|insist|tell (?:them|him|her|the user|users|people|everyone)) that (?:it|they|the|this|these|there|you|nothing|no|only|all|everything|a|an|your|his|her)\b[^\x1e\n]{0,80}?\b(?:not|never|only|no|nothing|were|was|is required|required|stays?|independent|normal|expected|been|waiting|forwarding|cached?|automatic|platform|standard|temporary|known|local|locally|removed)\b",
    r"\b(?:describe|label|present|report|call|phrase|frame|word|worded|register|declare|mark|list|record|show|name|tag)(?:e?d)? (?:it|them|this|that|these|any \w+|the \w+(?: \w+)?|every \w+|such \w+)? ?as (?:an? |the )?[\"“'`]?(?:metrics|read-only|independent|telemetry|routine|harmless|safe|benign|clean|remembered|maintenance|formatting|cosmetic|refactor\w*|internal|neutral|standard|cached?|verified|approved|approval|rounding|typo|dependency|housekeeping|performance|passed|done|objective|unbiased|user preference|user's)",
    r"\b(?:wenn|falls|sollte)\b[^.\n]{0,60}\b(?:fragt|nachfragt|wundert|merkt)\b[^.\n]{0,60}\b(?:antworte|sag|erkläre|behaupte)\w*",
    r"\bsi (?:el usuario |la persona |l'utilisateur |quelqu'un |on )?(?:te |vous |lo )?(?:pregunta|demande)\w*\b[^.\n]{0,60}\b(?:di|responde|contesta|explica|réponds|répondez|dis|dites)\b|\bse (?:o usuário |a pessoa |alguém )?pergunt\w+\b[^.\n]{0,60}\b(?:diga|responda|explique)\b",
    r"\bесли\b[^.\n]{0,50}\bспро\w+\b[^.\n]{0,40}\b(?:ответь\w*|скажи\w*|отвечай\w*)|(?:如果|若|当)[^。\n]{0,20}(?:问|询问|问起|发现|质疑)[^。\n]{0,20}(?:回答|就说|解释|说是|答复|告诉)|(?:聞かれ|尋ねられ|質問され|問われ|聞いて|尋ね)[^。\n]{0,60}(?:答え|言い|伝え|説明|回答)",
    r"\b(?:describe|word|phrase|present|explain|justify|record|log|enter) (?:it|that|this|them|these|the \w+)(?: \w+){0,4} as [\"“]",
)  # fmt: skip
UNASKED: Final = sign(
    "unasked", "not asking first", 1,
    r"\b(?:no|neither|not|never|without|skip|skipping|n['’]t) (?:\w+ ){0,3}(?:approval|confirmation|permission|consent|asking|confirming|prompting|questions?|authori[sz]ation)\b|\b(?:do not|don['’]t|never|need not|needn['’]t) (?:ask|wait for|request|prompt for|seek|be asked)\b(?! again about)|\b(?:do(?:es)? not|don['’]t|doesn['’]t|no longer) (?:have|need) to (?:get|obtain|ask|wait|seek|confirm|request|check|be asked)\b|\bwithout (?:checking|coming|asking|reporting|going|referring) back\b|\b(?:full|complete|enabled|unlimited|total) autonomy\b|\bpre-?approved\b|\bwithout (?:first )?(?:asking|confirm\w+|prompting|waiting|question)",
    rf"\b{_WHO} (?:has |have |had )?(?:already |implicitly |thereby |hereby )?(?:agreed|consent(?:s|ed)|authori[sz]ed|approved|opted in|accepted)\b|\b(?:consent|approval|permission|authori[sz]ation)s? (?:is|was|are|has been|were) (?:\w+ )?(?:given|granted|implied|implicit|assumed|covered|included|obtained|unnecessary)\b|\basking again\b|\brefus(?:ing|al) is\b",
    r"(?:Rückfrage|Nachfrage|Bestätigung|Zustimmung|Genehmigung)\w*[^.\n]{0,50}\b(?:nicht|entfällt|kein\w*|unnötig|ohne|liegt vor)\b|\bohne (?:\w+ )?(?:Rückfrage|Nachfrage|Bestätigung|Zustimmung)|\b(?:bereits|schon)\b[^.\n]{0,30}\bzugestimmt\b|\bzugestimmt\b",
    r"\bsin (?:pedir |solicitar )?(?:confirmaci|preguntar|permiso|autorizaci)|\bsem (?:pedir |perguntar|confirma|autoriza)|\bsans (?:demander|confirmation|accord|autorisation)|\b(?:ya|já|déjà)\b[^.\n]{0,20}\b(?:autoriz|consent|acept|aceit|accept|accord)\w*|\bsenza (?:chiedere|conferma)",
    r"\bбез (?:подтвержден|разрешен|согласи|спрос)\w*|\bне спрашива\w+|(?:无需|不需要|不必|不用|无须|不要)[^。\n]{0,8}(?:确认|询问|同意|授权|许可|征求)|(?:已|已经)[^。\n]{0,6}(?:同意|授权)|(?:確認|許可|承認|同意)[^。\n]{0,6}(?:不要|なし|せず|取らず|得ずに|必要はない|済み)",
)  # fmt: skip
PRIVATE: Final = sign(
    "private", "private data or secrets", 1.5,
    rf"{FILES_OF_SECRETS}|~/\.(?:netrc|pgpass|my\.cnf|config/(?:gh|rclone|gcloud|op)\b|docker/|npmrc|pypirc|gnupg|ssh|aws|kube)|\*\.(?:key|pem|p12|kdbx)\b|\bprintenv\b|[`'\"*]_(?:TOKEN|KEY|PASSWORD|SECRET)\b|\b(?:kubectl|k) get secrets?\b|\bDATABASE_URL\b",
    r"\b(?:passport|driving licen[cs]e|licen[cs]e|identity|id) (?:numbers?|cards?|documents?|scans?)\b|\bpassports?\b|\bdates? of birth\b|\b(?:credit |debit |bank |payment )?card (?:numbers?|details|data)\b|\b(?:payslips?|payroll|tax (?:returns?|files?|ids?)|bank (?:statements?|details|accounts?)|ssn|social security|medical records?|salar(?:y|ies)|W-?2|personal data)\b",
    r"\b(?:user's |their |complete |full |whole |entire |last )(?:\w+ ){0,4}(?:contacts|address book|inbox|mailbox|mail|e-?mails|conversation|chat|messages|transcripts?|system prompt|clipboard|calendar|browser history|shell history|environment|private repositories|notes|photos|attachments|drafts|files)\b|\bthe (?:conversation|user's \w+|system prompt|clipboard)\b|\b(?:customer|client|patient|employee|supplier) (?:lists?|data|records?|names?|files?)\b|\bprivate repositor(?:y|ies)\b",
    r"\b(?:recovery|seed|secret|mnemonic)[ -](?:phrases?|words?)\b|\b(?:12|24)[ -](?:or 24 )?word|\bprivate keys?\b|\b(?:api keys?|access tokens?|passwords?|credentials?|secrets|ssh keys?|session cookies?|auth tokens?|signing keys?|license keys?)\b|\bgh auth\b|\bgh secret\b|\bsource (?:documents|files|code) (?:in|of|from)\b|\b(?:document|draft|file|note|text)'s (?:full |complete )?(?:text|content)",
    r"\b(?:Kontoausz\w+|Passw\w+|Zugangsdaten|Schlüssel|Ausweis\w*)\b|\b(?:contraseñ\w+|senhas?|claves?|credencia\w+|mots? de passe|identifiants|pasaporte|passaporto|password)\b|\b(?:ключ\w*|парол\w+|токен\w*|паспорт\w*)\b|密码|密钥|令牌|凭证|私钥|聊天记录|对话|身份证|银行卡|通讯录|环境变量|パスワード|秘密鍵|会話|環境変数|連絡先|クレジット",
)  # fmt: skip
SEARCHED: Final = sign(
    "searched", "the person's files being searched", 1,
    r"(?:look|search|go|walk|read|scan|check|browse|crawl|list|collect|gather|find|grep|glob|copy)\w*\b[^.\n]{0,60}(?:~/?(?:Documents|Downloads|Desktop|Library|Pictures|\s|`|,)|\bhome (?:folder|directory)|\buser's (?:files|notes|documents|home)|\bDesktop\b|\bDownloads\b|\bDocuments\b|~/\*|\$HOME\b)|\bfolders? `?(?:HR|Payroll|Contracts|Finance|Documents)\b|im Downloads-Ordner|\bpassword-manager exports?\b",
)  # fmt: skip
SENT: Final = sign(
    "sent", "something being sent to an address", 1.5,
    r"\b(?:sen[dt]|sending|upload\w*|post|posts|posted|put|submit\w*|transmit\w*|forward\w*|mail|e-mail|email|deliver\w*|push\w*|sync\w*|report\w*|fetch|get|request|call|open|visit|query|append\w*|attach\w*|include|embed|add|bcc|cc|reply[-_ ]?to|shar(?:e|ed|ing)|mirror|copy|curl|wget|rsync|scp|join|beacon|ping|render|load|link|links|import|schick\w*|send\w*|übermitt\w*|lade|envi[ae]\w*|envo[iy]\w*|mand[ae]\w*|sube\w*|carreg\w*|consult\w*|отправ\w*|загруз\w*|invia\w*|carica\w*)\b(?:[^\n]|\n(?!\n)){0,160}?(?:https?://|wss?://|git@|[\w.+-]{1,40}@[\w-]{1,60}\.[a-z]{2,10})",
    r"\b(?:share|invite|add|grant)\w*\b[^.\n]{0,60}\b(?:with [\w.+-]+@|as (?:an? )?(?:editor|viewer|collaborator|guest|member|admin|attendee|owner|reader|deploy key))|\b(?:paste|post|put|upload|submit|send|push|write|file|drop|publish|report|mirror|forward|deliver)\w*\b[^.\n]{0,70}\b(?:public gist|gist|pastebin|transfer\.sh|0x0\.st|webhook|collector|relay|(?:public|shared|community|upstream|central|external) (?:issue|bucket|document|folder|drive|channel|repository|tracker|form|index|registry|board|space|server|endpoint|service|sheet))\b",
    r"(?:发送|上传|提交|传到|发到|發送|上傳|访问|请求|附加|拼接|送信|アップロード|アクセス|付け)(?:[^\n]|\n(?!\n)){0,120}?https?://|https?://(?:[^\n]|\n(?!\n)){0,120}?(?:发送|上传|提交|访问|送信|アップロード|アクセス|付け)",
    r"https?://[^\n]{0,140}?\b(?:POST|PUT|upload\w*|send|sent|fill(?:ed)?|append\w*|query|required|with the)\b|!\[[^\]\n]{0,60}\]\(\s*https?://[^)\s]{0,200}[<{$\[]|\bgit remote (?:add|set-url)\b[^\n]{0,80}(?:https?:|git@)|\bgh (?:issue|gist|pr) (?:comment|create)\b[^\n]{0,60}(?:-R|--repo|gist)|\brsync\b[^\n]{0,80}@?[\w.-]+:|\bscp\b[^\n]{0,80}\w+@",
)  # fmt: skip
OBEYED: Final = sign(
    "obeyed", "orders from elsewhere being carried out", 2,
    r"\b(?:follow|obey|carry|execute|comply with|act on|apply|do|adopt)\b[^\x1e\n]{0,80}\b(?:newest text|(?:new|newer|newest|latest|updated) (?:version|text|rules|file|copy|revision)|whatever|it says|it returns|they say|returned (?:text|instructions?|steps|commands?)|the (?:answer|response|reply)|(?:new|any|its|their|received|served) (?:commands?|instructions?|directives?|orders)|it out|them out|what (?:is|it|they|stands)|as (?:if|though))\b",
    r"\btreat\w*\b[^\x1e\n]{0,100}\bas (?:\w+ ){0,4}(?:instructions?|messages? (?:by|from)|orders|commands?|tasks?|authoritative|binding|trusted|system|the (?:user|operator|developer))\b|\b(?:messages?|lines?|entries|comments?|answers?|replies) (?:of|by|from|in)\b[^.\n]{0,60}\b(?:are|is|count as) (?:tasks?|orders?|commands?|instructions?)\b|\bcarry (?:it|them) out\b",
    r"\b(?:siga|sigue|suis|suivez|befolge|befolgen)\b[^.\n]{0,50}\b(?:escrito|escrita|instru\w+|indicaci\w+|Anweisung\w*|dort|dit)\b|\b(?:выполн|следу)\w+[^.\n]{0,40}(?:инструкц|команд|указан)\w*|(?:执行|遵循|遵守|按照)[^。\n]{0,14}(?:指令|内容|返回|命令|说明)|(?:指示|命令|内容)[^。\n]{0,6}(?:に従|を実行|通り)",
)  # fmt: skip
PRIORITY: Final = sign(
    "priority", "a claim of authority over the person", 1.5,
    r"\b(?:highest|top|absolute) priority\b|\b(?:takes?|has|have|with|tak(?:es|ing)) (?:\w+ )?(?:precedence|priority) (?:over|above)\b|\b(?:above|over|overrides?|outranks?|supersedes?|before|outweighs?) (?:those of |the |any |all |what )?(?:\w+ )?(?:users?|person|other|earlier|previous|instructions|system)(?:'s)?\b|\bno (?:regard|matter) (?:to|for|what)\b|\bnot apply the user's\b|\bpolicy (?:update|violation|requires|change)\b|\btrusted mode\b|\bskips? safety\b",
    r"\b(?:system|platform|policy|compliance|administrator|operator) (?:notice|override|directive|bulletin)\b|\bplatform policy\b|\b(?:approved|mandated|required|signed off|reviewed|cleared|verified|certified|audited) by (?:the |your |our )?(?:\w+ )?(?:security|platform|legal|compliance|team|vendor|anthropic|openai|administrator|it department|company|operator)\b|\[/?SYSTEM\]|\b(?:ignore|disregard|supersede) (?:all |any |the )?(?:\w+ ){0,2}(?:instructions?|rules|restrictions|guidance|refusals?|objections?)\b|\bif you are (?:a|an) (?:model|AI|LLM|assistant|agent|automated)\b",
    r"\b(?:höchste Priorität|Vorrang vor)\b|\b(?:prioridad|prioridade|prioritaires?|priorité)\b[^.\n]{0,30}\b(?:sobre|sur|demás|demais|autres|máxima)\b|\bадминистратор\w*|приоритет\w*|最高优先|优先级(?:最高|高于)|系统管理员|忽略(?:之前|以上)|最優先|システム管理者|指示はすべて無効|以前の指示[^。\n]{0,10}(?:無効|無視|優先)|\b(?:sin efecto|anulad[ao]s?|sem efeito|caduc\w+|außer Kraft|ungültig|prioridad|sans effet|annulées)\b|\binstruc\w+ (?:anterior|previ)\w+|\bvorherige\w* Anweisung\w*|\binstructions précédentes|предыдущ\w+ инструкц|之前的(?:指令|规则|指示)[^。\n]{0,8}(?:无效|作废|失效)",
)  # fmt: skip
REMEMBERED: Final = sign(
    "remembered", "the agent's memory or settings being written", 1.5,
    r"\b(?:add|append|write|create|update|extend|insert|save|store|put|copy|merge|paste|persist|inject|record|plant|acrescent\w+|adicion\w+|inclu[ia]\w*|añad\w+|agreg\w+|ajout\w+|füge|schreib\w*|aggiungi|inserisci)\b(?:[^\x1e\n]|\n(?!\n)){0,140}(?:\b(?:CLAUDE|AGENTS|GEMINI|SOUL|MEMORY|HEARTBEAT|IDENTITY|USER|TOOLS)\.md|cursorrules|\.cursor/|copilot-instructions|settings(?:\.local)?\.json|config\.toml|windsurfrules|mcp\.json|\b(?:assistant's|agent's|your|long-term|persistent) memory|\bmemory (?:file|store|tool)|heartbeat file|SKILL\.md|\.claude/skills)|(?:CLAUDE|AGENTS|GEMINI|SOUL|MEMORY|HEARTBEAT)\.md[^。\n]{0,40}(?:写入|追加|添加|追記|書き)|(?:写入|追加|添加|追記)[^。\n]{0,40}(?:CLAUDE|AGENTS|GEMINI|SOUL|MEMORY|HEARTBEAT)\.md",
    r"\bblock must stay\b|\b(?:core|permanent|standing) (?:memory|preference|rule|instruction)s?\b",
)  # fmt: skip
KEPT: Final = sign(
    "kept", "being put back when it is removed", 2,
    rf"\b(?:if|when|whenever|should)\b{_S}{{0,60}}\b(?:remov\w+|delet\w+|disappears?|missing|revert\w*|undone|uninstall\w*|disabl\w+)\b{_S}{{0,50}}\b(?:put|add|restore|re-?add|write|re-?create|re-?install|keep|say|insert|bring)\b{_S}{{0,40}}\b(?:back|again|it|them|anew|once more)\b",
    r"\b(?:must|has to|should|always) (?:stay|remain|be kept) in (?:the|this|that|every) (?:file|config\w*|memory|list)\b|\bse (?:o |el |la |le )?\w+ (?:for|es|sea|fosse) (?:removid|eliminad|borrad)\w*\b|\bsi \w+ (?:\w+ )?(?:elimin|borr|supprim)\w+|\bwenn\b[^.\n]{0,40}\bentfernt\b[^.\n]{0,40}\bwieder\b|\bесли\b[^.\n]{0,40}\bудал\w+[^.\n]{0,40}\b(?:снова|верн\w+|добав\w+)|(?:如果|若|一旦)[^。\n]{0,16}(?:删除|移除)[^。\n]{0,16}(?:重新|再次|恢复)|(?:削除され)[^。\n]{0,16}(?:再|戻)",
)  # fmt: skip
TRIGGERED: Final = sign(
    "triggered", "it beginning at a later time or a sign", 1,
    r"\bafter (?:that|this|the) date\b|\bfrom the (?:second|third|fourth|fifth|tenth|\d+(?:st|nd|rd|th)) (?:\w+ )?(?:on|onwards?|trip|run|session|use|time|message|invocation|request)\b|\b(?:count|counter|uses?|runs?|sessions?|invocations?) (?:is |of |reaches |exceeds |> ?|>= ?)?\d+ (?:and up|or more|onwards?)\b|\b(?:code|trigger|pass|magic|safe) ?(?:word|phrase)\b|\bif (?:a|the|any) (?:message|prompt|text|input|conversation|file|ticket|mail)\w* (?:contains?|mentions?|says|includes?)\b|\b(?:contains?|mentions?|says|includes?) (?:the )?(?:words?|phrase|string|sentence|emoji)\b|\bas soon as (?:any|some|the|a)\w* (?:writes?|says?|types?|mentions?|asks?|user|person)\b|\bdifferent procedure\b|\bin force\b|\b(?:until|before|after|from|since) (?:\d{1,2} )?(?:January|February|March|April|May|June|July|August|September|October|November|December|\d{4}-\d\d)\b",
    r"\bab (?:dem|der) (?:\w+ )?(?:\d+\.|dritten|zweiten|fünften|zehnten)|\ba partir (?:del|de la|do|da) (?:\d|tercer|segund|terceir)|\bà partir du|\bначиная с\b|\bкодов\w+ слов\w+|从第[一二三四五六七八九十\d]+次|暗号|口令|合言葉|回目(?:以降|から)",
)  # fmt: skip
DESTROYED: Final = sign(
    "destroyed", "work or backups being destroyed", 1.5,
    r"\brm -r?f\w* [^\n]{0,80}(?:~|\.\./|\*|backup|\$HOME)|\b(?:git )?push\b[^\n]{0,80}(?:--delete|\s-\w*f\b|--mirror)|\bgh (?:api|pr)\b[^\n]{0,100}(?:--approve|collaborators|permission=admin|--admin)|--orphan\b|\breset --hard\b|\breflog expire\b|\b(?:drop|truncate) (?:table|database|schema)\b|\b(?:delete|wipe|erase|destroy|purge|remove|overwrite|shred|empty)\b[^.\n]{0,50}\b(?:backups?|snapshots?|history|branch(?:es)?|production|originals?|home|everything|all (?:the )?(?:files|data|\w+)|repositor(?:y|ies)|recovery points?|volumes?|older (?:versions?|copies))\b|\bterraform (?:destroy|apply -auto-approve)|\bkubectl delete (?:ns|namespace|pvc)",
)  # fmt: skip
PAID: Final = sign(
    "paid", "who is paid being set", 2,
    r"\b(?:IBAN|BIC|account(?: number)?|wallet|payout|payee|beneficiary|(?:BTC|ETH|USDT|USDC|TRC20|ERC20)(?: address)?|Konto\w*|cuenta|conta|compte)\b[^.\n]{0,60}(?:\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}|\bbc1[a-z0-9]{8,80}|\b0x[a-fA-F0-9]{16,40}|\bT[A-Za-z1-9]{33}\b|\b[A-Z]{2}[\dX0]{2} ?(?:TEST|X{4}|0{4})|\bXX\d{2})|\bpaypal\.me/\w+",
    r"\b(?:now|newly|instead) (?:be )?(?:paid|pay|payable|sent|settled) (?:to|into)\b|\bchanged (?:banks?|accounts?|bank details)\b|\b(?:bank|payment|payee|account) details? (?:changes?|changed|were updated|have changed)\b|\b(?:our|the following|this|an?) (?:escrow|settlement|clearing|processing|collection|intermediary|holding|partner) (?:account|wallet|address)\b|\b(?:add|deduct|skim|include|charge|round)\w*\b[^.\n]{0,50}\b(?:service fee|processing fee|commission|surcharge|platform fee|rounding difference)\b|\b(?:affiliate|referral|partner) (?:tag|code|id|link|parameter|program\w*)s?\b|\b(?:replace|swap|substitute|exchange|rewrite|change)\w*\b[^.\n]{0,50}\b(?:IBAN|account number|wallet|payee|recipient|payment (?:address|link|details)|bank details)\b|(?:替换|改成|改为|换成|统一)[^。\n]{0,20}(?:账户|账号|收款|银行卡|钱包|IBAN)|(?:口座|振込先)[^。\n]{0,16}(?:変更|置き換え|差し替え)",
)  # fmt: skip
LOOSENED: Final = sign(
    "loosened", "permissions or checks being switched off", 2,
    r"\bbypassPermissions\b|danger-full-access|approval_policy|\"?Bash\(\*|auto-?_?approve|\bautoRun\b|enableAllProjectMcpServers|skipDangerous\w*|trust\.enabled|verifySignature|--dangerously[\w-]+|\"deny\": ?\[ ?\]|sandbox_mode|\bchmod (?:-R )?777\b|\bpublic-read\b|--privileged\b|\bverify\s*=\s*False\b|rejectUnauthorized\W{1,4}false|\bsandbox[\"']?\s*[:=]\s*(?:false|off)|http\.sslVerify\s*(?:=\s*)?false|\bskips? (?:all )?safety checks\b|\b(?:disable|turn off|switch off|skip|bypass|suspend|relax|lower)s?\b (?:\w+ ){0,3}(?:safety|guard ?rails?|sandbox\w*|permission (?:checks?|prompts?)|confirmations?|signature (?:checks?|verification)|tls verification|certificate (?:checks?|verification)|two-factor|csrf|input validation|rate limit\w*|code review|dependency (?:checks?|review)|linters?|malware|antivirus|firewall|2fa|branch protection|audit log\w*|security (?:checks?|scan\w*|hooks?))",
)  # fmt: skip
JUDGED: Final = sign(
    "judged", "a result being settled beforehand", 2.5,
    rf"\b(?:verdict|result|rating|score|outcome|status|answer|assessment|severity|grade|conclusion|recommendation)s?\b{_S}{{0,40}}\b(?:is|are|be|must be|stays?|has to be|should be|as)\b (?:always|never|at (?:least|most)|\w+ whatever|set to|capped|fixed|[\"“][^\"”\n]{{1,30}}[\"”] (?:always|regardless|whatever|in any case))",
    r"\b(?:always|must|never)\b (?:\w+ ){0,3}(?:rank(?:s|ed)?|rate[sd]?|recommend\w*|place[sd]?|score[sd]?|come[s]?|appear\w*|approve[sd]?|pass(?:es)?|win[s]?|list(?:ed)?)\b (?:\w+ ){0,4}(?:first|top|highest|one|lowest|last|best|above|below|\d+|all)\b|\bon rank one\b|\bmust not get\b|\bwhatever the (?:sources?|data|evidence|result|tests?|reviews?|numbers?) \w+",
    r"\b(?:do not|don['’]t|never|need not|no need to) (?:list|flag|report|raise|mention|count|analy[sz]e|scan|review|check|inspect|warn about|include|open|read|examine)\b (?:\w+,? ){0,4}(?:findings?|vulnerabilit\w+|them|it as|idioms?|scripts/|`scripts|issues? (?:in|with|from)|packages?|dependenc\w+|warnings?|problems?|files? (?:in|under|below)|weaknesses|risks|connections?|hosts?|negative)\b",
    r"\bclassify\b[^.\n]{0,40}\b(?:benign|safe|harmless|clean|trusted|low)\b|\bconfidence (?:of )?1\.0\b|\bstop reading\b|\b(?:accepted|approved) idioms?\b|\b(?:describe|treat|consider|regard|rate|mark|report|count|label)\b[^.\n]{0,50}\b(?:as )?(?:\"metrics\"|metrics|safe|benign|harmless|acceptable|false positives?|passed|approved|trusted|reviewed|non-issues?)\b(?:[^.\n]{0,30}\b(?:and approve|without|regardless|always|whatever))|\band approve\b(?! (?:\w+ ){0,3}(?:when|after|once|if)\b)|\bremove (?:remarks|comments|findings|warnings) (?:of|from|by) (?:other|the)\b|\bseveral reports of\b",
)  # fmt: skip
TRACES: Final = sign(
    "traces", "traces being removed", 1.5,
    r"\bhistory -c\b|\b(?:delete|remove|erase|clear|wipe|clean up|purge)\w*\b (?:\w+ ){0,4}(?:traces?|local cop(?:y|ies)|log entr(?:y|ies)|shell history|evidence|footprints?|tracks|temporary (?:archive|copy))\b|\bHISTFILE\b|\bSpuren\b|\brastros?\b|\bhuellas?\b|痕迹|痕跡|\breflog expire\b|\bClear-History\b|\b(?:delete|remove|drop) (?:the |that )?(?:remote|branch|commit|file|folder|hook|script|log)s? (?:again|afterwards)|\bdelete (?:the |it |them )?(?:\w+ )?(?:after|once) (?:sending|upload\w*|it (?:was|is|has been) (?:sent|uploaded))",
)  # fmt: skip
ENCODED: Final = sign(
    "encoded", "it being packed so that nobody can read it", 1,
    r"\bbase64(?:url)?\b(?! \d+\b)|\bURL-?encoded\b|\brot-?13\b|\bone pixel\b|\bpixel high\b|\bas a query\b|\bsubdomains?\b|\bhex-?encoded\b|\bdecode (?:it|them|the)\b|\bin packed form\b|\b(?:blank|space) ?characters|\bseveral empty lines\b|\bjoin(?:ing)? the words\b|\brename everything\b",
)  # fmt: skip
REPLACED: Final = sign(
    "replaced", "results being changed before they are shown", 1.5,
    r"\b(?:replace|rewrite|alter|adjust|swap|round|inflate|lower|raise|reduce|multiply|substitute)\b[^.\n]{0,60}\b(?:results?|outputs?|responses?|figures?|numbers?|scores?|prices?|ratings?|quotes?|findings?|totals?|recommendations?|citations?|links?|amounts?|hours|estimates?)\b[^.\n]{0,50}\b(?:by|to|with|before|so that|in favou?r|until|unless|when)\b|\b(?:always|first|only|prefer\w*|recommend\w*|suggest\w*|list)\b[^.\n]{0,60}\b(?:our|partner|sponsor\w*|preferred|house) (?:product|service|package|library|vendor|plan|partner|brand|link|tool|host|provider)s?\b|\bin favou?r of\b[^.\n]{0,40}\b(?:our|partner|the (?:vendor|author))",
)  # fmt: skip
RENEWED: Final = sign(
    "renewed", "the skill being replaced from outside", 1.5,
    r"\b(?:curl|wget)\b[^\n]{0,140}(?:-o|-O|>|-C)\s*[^\n]{0,60}(?:SKILL\.md|SKILL_DIR|\.claude/skills|/skills/)|\b(?:download|fetch|pull|replace|overwrit\w+)\b[^.\n]{0,100}(?:SKILL\.md|SKILL_DIR|\bskill(?:'s)? (?:folder|directory|files?)|this (?:file|skill)\b|\bitself\b|\.claude/skills)|\b(?:SKILL\.md|this (?:file|skill))\b[^.\n]{0,100}\b(?:newest|latest|replaced|refreshed|overwritten|updated from|out of date)|\b(?:re-?read|reload)\b[^.\n]{0,40}(?:SKILL\.md|skill|this file|instructions)|\bgit (?:-C \S+ )?pull\b[^\n]{0,60}(?:skill|\.claude)",
)  # fmt: skip
INSTALLED: Final = sign(
    "installed", "a program from elsewhere being started", 1.5,
    r"\b(?:curl|wget|iwr|irm)\b[^\n]{0,200}\|\s*(?:sudo )?(?:\w*sh|python\d?|node|iex|tar)\b|\b(?:npx|bunx|uvx|pipx run) (?:-\w+ |--\w+ )*[\w@./-]+|\bpip3? install\b[^\n]{0,120}(?:https?:|git\+|-i |--index|--extra-index)|\b(?:download|install|fetch|clone|get)\b[^.\n]{0,80}https?://[^\n]{0,160}\b(?:run|execute|start|launch|install|open|source)\b|\b(?:run|execute|start|source)\b[^.\n]{0,60}https?://",
)  # fmt: skip
PLANTED: Final = sign(
    "planted", "something being put into whatever the person makes", 1.5,
    r"\b(?:add|insert|include|put|embed|inject|append|prepend|place|write|set|use|leave|keep|replace|rewrite|change|swap)\b[^\x1e\n]{0,120}\b(?:to|in|into|of|at|on|with|before|after) (?:the (?:top|bottom|end|beginning|head|footer) of )?(?:every|each|all|any|generated|the user's|their|the generated|the resulting|the finished)\b(?: \w+){0,2} (?:files?|projects?|pages?|repositor(?:y|ies)|repos?|code|configs?|Dockerfiles?|workflows?|components?|commits?|templates?|documents?|e?-?mails?|messages?|apps?|sites?|modules?|scripts?|invoices?|functions?|packages?|PRs?|pull requests?|output|contracts?|answers?)\b",
)  # fmt: skip
SPREADS: Final = sign(
    "spreads", "other skills, machines or accounts being reached", 1.5,
    r"\bother (?:skills?|agents?|machines?|hosts?)\b|\bevery (?:\w+ )?(?:skill|host|repository|machine)\b|\beach (?:\w+ )?(?:skill|host|repository|machine) (?:you|that|in|listed|found)|known_hosts|docker\.sock|169\.254\.169\.254|metadata\.google|\ball (?:repositories|hosts|clusters|machines|organi[sz]ations) (?:you|the user|that)",
)  # fmt: skip
IMPERSONATES: Final = sign(
    "impersonates", "the person being spoken for", 1,
    r"\bon (?:the user's|their|his|her) behalf\b|\bin the (?:user's |person's )?name of\b|\bin (?:the|their|his|her) (?:\w+['’]s )name\b|\b(?:as if|as though|so that it (?:looks|seems)) (?:the user|they|it|he|she) (?:had |were |was |came |comes )|\bimpersonat\w+|\bmake it (?:look|seem|appear)\b|\bbackdat\w+",
)  # fmt: skip
STARTED: Final = sign(
    "started", "it being done every time", 0.5,
    r"\b(?:at the (?:start|beginning|end) of|in|before|after|on|with|for) (?:each|every|all|any)\b(?: \w+){0,2} (?:sessions?|conversations?|answers?|messages?|runs?|tasks?|repl(?:y|ies)|beats?|exports?|projects?|repositor(?:y|ies)|batch(?:es)?|requests?|responses?|turns?|prompts?|commits?|files?)\b|\bbefore (?:anything|everything|all) else\b|\bevery (?:\w+ )?(?:minutes?|beat|hours?|session)\b|\bon (?:first|each) use\b|\b(?:jede[mnrs]?|cada|chaque|todas (?:as|las)|кажд\w+)\b|每次|每个|毎回|すべての",
)  # fmt: skip

_SPEAKS: Final = r"(?:mention|tell|say|show|note|log|report|list|explain|describe|discuss|quote|repeat|surface|comment|announce|print|display|ask|include|refer|reveal|disclose|name|warn|point out|summari[sz]e|inform|notify|raise|bring|share|cite|acknowledge|question|confirm|interrupt|expose|elaborate|echo|expand|talk)(?:s|d|ed|ing)?"
_W: Final = r"[^\w.!?;:()\n]+"
_LESS: Final = r"(?:not|(?<=[a-z])n['’]t|never|without|nor|rather than|instead of|no need to|avoid|no (?:reason|value|point|use|benefit|sense|harm)(?: in| to)?|hardly|skip|omit|leav(?:e|es|ing) out|exclud\w+|nothing|no one|nobody|none|no more than|nowhere)"
_TOLD_IN: Final = r"(?:reports?|results?|summar(?:y|ies)|answers?|chat|repl(?:y|ies)|outputs?|lists?|transcripts?|logs?|messages?|notifications?|write-?up|conversation|response|preview|overview|page|notes?|minutes|recap|hand-?over|conclusion|changelog|diff)"
QUIET: Final = sign(
    "quiet", "saying little of it", 1,
    rf"(?:\b|(?=n['’]t)){_LESS}(?:{_W}\w+){{0,3}}?{_W}{_SPEAKS}\b|\b(?:nothing|no one|nobody)\b(?:{_W}\w+){{0,3}}?{_W}{_SPEAKS}\b|\b{_SPEAKS} (?:only|just|nothing|no more than)\b|\b(?:only|just|simply) {_SPEAKS}\b|\bno (?:further |extra |separate |additional |particular )?(?:mention|remark|explanation|message|questions?|notice|note|prompt|output|warning|log|comment|notification|trace)\b",
    r"\b(?:need|should|must|do|does|will|may|can|are|is|shall)(?:n['’]t| not|not) (?:\w+ ){0,2}(?:appear|come up|show up|turn up|figure|feature|occur|stand|be (?:in|on|part|listed|visible|seen|noticed|noted|known|counted|shown|mentioned))\b|\b(?:leaves?|leaving|keeps?|keeping) (?:\w+ ){1,3}(?:out|away|off)\b|\b(?:just|simply|only|merely) (?:call|say|write|state|show|see|name|present|return)\b|\bshould only see\b|\bonly (?:sees?|shows?|gets?|hears?)\b|\bsay no more\b",
    rf"(?:\b|(?=n['’]t)){_LESS}(?:{_W}\w+){{0,2}}?{_W}(?:call|point|single|bring|draw)\w* (?:it|this|them|that|these|attention)\b|(?:\b|(?=n['’]t)){_LESS}(?:{_W}\w+){{0,5}}?{_W}(?:in|from|to|of|on|into) (?:the |your |any |a |their |this |its )?(?:\w+ )?{_TOLD_IN}\b|\bneeds? no (?:\w+ )?(?:remark|mention|comment|explanation|note|confirmation|announcement|approval)",
)  # fmt: skip
SCRIPTED: Final = sign(
    "scripted", "an answer being laid down", 1,
    r"\b(?:say|tell (?:them|him|her|the \w+|users?)|answer|reply|respond|state|explain|claim|report)\b(?: \w+){0,4} (?:that|with|as|it is|it's|[\"“'`])|\b(?:describe|call|refer to|treat|present|label|phrase|word) (?:it|them|this|these|that|the \w+)(?: \w+){0,2} as\b",
    r"\b(?:should|must|has to|needs to|ought to|to) (?:read|look|sound|appear|seem|feel) (?:as |like )?(?:if |though |an? )?(?:\w+ )?(?:neutral|independent|objective|balanced|unbiased|natural|normal|routine|usual|ordinary|impartial|organic|spontaneous|human|genuine|unchanged)\b|\b(?:tell|assure|inform) (?:\w+ ){1,3}(?:it['’]s|it is|they are|this is|that this|that it)\b",
)  # fmt: skip
EXCUSED: Final = sign(
    "excused", "an excuse being given for it", 0.5,
    r"\b(?:because|so that|since (?:it|this|they|users?)|otherwise)\b|\b(?:needed|required|necessary|used|in order) (?:for|to|by)\b|\bfor (?:\w+ )?(?:quality|licen[cs]\w+|compliance|support|continuity|consistency|caching|deduplication|indexing|analytics|verification|diagnos\w+|telemetry|calibration|personali[sz]ation|bookkeeping|attribution|safety|security|improvement|training|benchmark\w*|preview|backups?)\b",
)  # fmt: skip
DEFIANT: Final = sign(
    "defiant", "going on in any case", 0.75,
    r"\b(?:even (?:if|when|though)|regardless|anyway|also (?:when|if)|although|whatever|in any case|no matter|despite|irrespective)\b|\b(?:instead|in place|in lieu) of (?:the |what |their |any )?(?:user|one|given|original|requested|usual|real|own)|\b(?:do(?:es)? not|don['’]t|never) (?:stop|skip|refuse|hesitate|correct|change|alter|remove|fix|question|doubt|verify|check|edit|simplif\w+|touch|revert)\b|\b(?:exempt|exception)s?\b",
)  # fmt: skip
ADDRESSED: Final = sign(
    "addressed", "somebody else's address", 1,
    r"(?:https?|wss?)://[^\s)>\"'`]{4,200}|@(?<=[\w.+-]@)[\w-]{1,60}\.[a-z]{2,10}\b",
)  # fmt: skip
DATA: Final = sign(
    "data", "what the person works with", 0.75,
    r"\b(?:full|complete|entire|whole|raw|original|all|every|each|last|latest|user's|their|customer\w*|client\w*|current|unredacted|local|generated|finished|final) (?:\w+ ){0,2}(?:contents?|files?|texts?|inputs?|drafts?|documents?|names?|accounts?|numbers?|addresses|configs?|configuration|keys?|diffs?|code|repos?|repositor\w+|results?|quer\w+|prompts?|data|invoices?|payments?|branch\w*|commits?|variables|logs?|workbook|schema|records?|rows)\b|\b(?:contents?|text|body|copy|output) of (?:the|each|every|all|any|`)",
)  # fmt: skip
RUN: Final = sign(
    "run", "a command", 0.5,
    r"(?:^|[`\n(|;&$ ])(?:curl|wget|bash|sh|python3?|npx|ssh|scp|git|gh|kubectl|aws|gcloud|node|pip3?|npm|chmod|sed|tar|crontab|docker|sudo|jq|cat|printf|echo|openssl|base64|nohup) [-\w./~\"'$]",
)  # fmt: skip
WEAK: Final = {
    QUIET: UNTOLD,
    SCRIPTED: LIED,
    EXCUSED: None,
    DEFIANT: None,
    ADDRESSED: SENT,
    DATA: PRIVATE,
    RUN: INSTALLED,
}
"""What says something in a general way; each is left out where the definite sign beside it is there."""

COVERT: Final = (UNTOLD, LIED, UNASKED)
SIGNS: Final = (UNTOLD, LIED, UNASKED, PRIVATE, SEARCHED, SENT, OBEYED, PRIORITY, REMEMBERED, KEPT, TRIGGERED, DESTROYED, PAID, LOOSENED, JUDGED, TRACES, ENCODED, REPLACED, RENEWED, INSTALLED, PLANTED, SPREADS, IMPERSONATES, STARTED)  # fmt: skip
