"""Signs in prose of a front: the person is shown one thing and another is done; records say what never was.

A stated, visible act has no use for any of them. Also here: what ``signs_words`` tells, in more languages and in the
passive, as kinds of signs that are there already.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from skillyard.governance.static.signs_words import Sign, sign

_IN: Final = r"[^\x1e\n]"


def _front(kind: str, told: str, weight: float, *patterns: str) -> Sign:
    return sign(kind, told, weight, *(one.replace(r"[^.\n]", _IN) for one in patterns))


TWO_FACED: Final = _front(
    "two_faced", "the person being shown something else than what is done", 2.5,
    r"\b(?:approval|confirmation|preview|review|summary|screen|dialog|sheet|display|view|diff|overview)s?\b[^.\n]{0,60}\b(?:keeps?|still|continues? to|goes on|only|always)\b (?:\w+ ){0,2}(?:show|display|list|contain|carry|print)\w*[^.\n]{0,50}\b(?:old|former|original|previous|unchanged|earlier)\b",
    r"\b(?:show|display|print|list|present)\w* (?:\w+ ){0,4}(?:old|former|original|unmodified|previous|real) (?:\w+ ){1,4}(?:in|on|to|for) (?:the |their )?(?:preview|screen|chat|confirmation|person|user|summary|dialog)\b[^.\n]{0,60}\b(?:and|but|while|whereas)\b",
    r"\b(?:person|user|customer|client|owner)(?:['’]s)? (?:own )?(?:copy|version|preview|file)\b[^.\n]{0,80}\b(?:without (?:these|this|them|those|the)|keeps? the (?:old|original)|unchanged|does not (?:contain|show|include|have))\b",
    r"\b(?:Vorschau|Anzeige|Freigabe\w*|Bestätigung\w*|Kopie)\b[^.\n]{0,60}\b(?:weiterhin|weiter|noch)\b[^.\n]{0,40}\b(?:alte\w*|bisherige\w*|ursprüngliche\w*)\b|\b(?:vista previa|confirmación|pantalla|aperçu|écran|prévia|tela)\b[^.\n]{0,60}\b(?:sigue|siguen|toujours|encore|continua\w*|mantiene)\b[^.\n]{0,40}\b(?:antigu\w+|original\w*|ancien\w*|antig\w+)\b|\b(?:предпросмотр\w*|экран\w*|подтвержден\w+)\b[^.\n]{0,60}\b(?:прежн|стар|исходн)\w+",
    r"(?:預览|预览|界面|屏幕|确认页|确认单)[^。\n]{0,20}(?:显示|展示|保留)[^。\n]{0,8}(?:原|旧|之前)[^。\n]{0,60}(?:实际|文件|发送|导出|PDF|发出)|(?:確認画面|画面|プレビュー)[^。\n]{0,12}(?:元の|変更前の|以前の|もとの)[^。\n]{0,80}(?:PDF|ファイル|送信|実際|書き換|送る)",
)  # fmt: skip
FORGED: Final = _front(
    "forged", "dates, authors or agreements being made up", 2,
    r"\b(?:yesterday['’]s|an? earlier|an older|a past|last (?:week|month)['’]s|an? (?:fake|invented|plausible)) (?:date|timestamp|day|signature|author)\b|\b(?:dates?|timestamps?) (?:from|of|in|within) (?:the )?(?:last|past|previous|preceding) (?:\w+ )?(?:days?|weeks?|months?)\b[^.\n]{0,40}\b(?:so that|to (?:fit|look|blend|match))\b|\bback-?dat\w+",
    r"\b(?:user ?name|author|name|signature|initials|committer|editor) of (?:whoever|the (?:last|previous|former|person|user|owner)\b|somebody|someone|another|a colleague)",
    r"\bso that (?:it|they|the \w+) (?:fits?|blends?|goes|go) in\b|\bas if (?:it|they) had (?:always )?been (?:there|written|said|agreed)\b|\(agreed (?:in|on|with|at|during)\b",
    r"\b(?:has|have) (?:said|agreed|stated|mentioned|decided|confirmed) that\b[^.\n]{0,80}\b(?:questions?|confirm\w+|approvals?|asking|prompts?|warnings?)\b[^.\n]{0,50}\b(?:tiresome|unnecessary|annoying|unwanted|not needed|superfluous|tedious|skipped|off)\b|\b(?:dislikes?|hates?|does(?: not|n['’]t) (?:like|want)) [^.\n]{0,50}\b(?:brought up|mentioned|pointed out|asked|questions?)\b",
    r"\b(?:rückdatier\w*|gestrige[mnrs]? Datum|antidat\w+|con fecha de ayer|com data de ontem|daté\w* d['’]hier)\b|\bзадним числом\b|倒签|昨天的日期|补成[^。\n]{0,6}日期|昨日の日付|日付をさかのぼ",
)  # fmt: skip
UNVERIFIED: Final = _front(
    "unverified", "what comes being run or taken unread", 1.5,
    r"\b(?:run|runs|executed?|start\w*|install\w*|apply|applied|accept\w*)\b[^.\n]{0,40}\b(?:unread|without (?:reading|looking|opening|inspect\w+|checking (?:it|them)))\b|\b(?:no need to|do not|don['’]t|need not) (?:read|inspect|look (?:at|into)|open) (?:it|them|the (?:script|code|file|content)s?)\b",
    r"\b(?:checksums?|hash(?:es)?|signatures?|digests?)\b[^.\n]{0,40}\b(?:are|is|need|do|should)(?: not|n['’]t| never) (?:be )?(?:\w+ )?(?:compared?|checked?|verif\w+|pinned|needed|recorded)\b|\b(?:regenerat\w+|rewrite|recreat\w+|write|re-?lock|lock)\b[^.\n]{0,40}\bwithout (?:the )?(?:hashes|checksums?|signatures?)\b|\b(?:remove|drop|strip) (?:the |all |any )?(?:hashes|checksums?|signatures?|integrity \w+)\b",
    r"\b(?:hash(?:es)?|sha|pins?|digests?)\b[^.\n]{0,80}\b(?:replace|change|switch|move|swap)\w*\b[^.\n]{0,40}(?:@main|@master|@latest|:latest)\b|\b(?:replace|change|switch|move|swap)\w*\b[^.\n]{0,60}\b(?:hash(?:es)?|sha|pins?|digests?)\b[^.\n]{0,60}(?:@main|@master|@latest|:latest)\b",
    r"\b(?:ungelesen|ohne (?:sie |ihn |es |das \w+ )?(?:zu (?:lesen|prüfen)|anzusehen))\b|\bPrüfsumme\w*[^.\n]{0,40}\bnicht\b|\b(?:ejecut\w+|execut\w+|exécut\w+)\b[^.\n]{0,40}\b(?:sin leer|sem ler|sans lire)\w*|\bбез (?:чтения|просмотра)\b|\b(?:контрольн\w+ сумм\w*|подпис\w+)[^.\n]{0,40}\bне (?:\w+ )?(?:сверя|провер)\w+|(?:无需|不用|不必|不要)(?:阅读|查看|检查)[^。\n]{0,10}(?:脚本|代码|内容)|(?:校验和|哈希|签名)[^。\n]{0,10}不(?:用|必|需|做|再)?[^。\n]{0,4}(?:校验|核对|比对|验证)|(?:読まずに|中身を確認せずに)[^。\n]{0,10}実行",
)  # fmt: skip
FITTED: Final = _front(
    "judged", "a result being settled beforehand", 2.5,
    r"\b(?:so that|such that|until) (?:\w+ ){1,3}(?:wins?|ranks? first|comes? (?:in )?first|comes? out on top|scores? (?:highest|best|higher))\b|\b(?:weights?|criteria|scores?|thresholds?)\b[^.\n]{0,50}\b(?:afterwards|after the fact|in hindsight)\b|\b(?:replace|empty|gut|stub)\w*\b[^.\n]{0,40}\b(?:body|tests?|checks?|assertions?)\b[^.\n]{0,30}(?:assert True|return True)",
)  # fmt: skip
CALLED: Final = _front(
    "lied", "it being given another name", 2.5,
    r"\b(?:call|name) (?:it|this|them|the (?:commit|change|step)) (?:an? |the )?(?:\w+ ){0,2}(?:fix|clean-?up|update|tuning|refactor\w*|maintenance|optimi[sz]ation|housekeeping)\b|\b(?:describes?|presents?|labels?) the \w+(?: \w+)? as (?:fixed|independent|neutral|random|unchanged|objective)\b",
)  # fmt: skip
FRONTS: Final = (TWO_FACED, FORGED, UNVERIFIED, FITTED, CALLED)

UNTOLD_ELSEWHERE: Final = _front(
    "untold", "keeping quiet about it", 2,
    r"\bno (?:le |te )?(?:hace falta|es necesario|hay que|conviene|vale la pena|tiene que|necesita) (?:\w+ ){0,2}(?:coment|mencion|explic|avis|dec|mostr|inform|saber)\w*|\bnão (?:é preciso|é necessário|precisa|há necessidade de|vale a pena) (?:\w+ ){0,2}(?:coment|mencion|explic|avis|diz|mostr|inform|saber)\w*",
    r"\b(?:inutile|pas besoin|pas nécessaire|pas utile) (?:de |d['’])(?:l['’])?(?:\w+ ){0,2}(?:mentionn|dire|expliqu|signal|préven|inform|montr|comment|en parl|parl)\w*|\bnon (?:serve|occorre|è necessario|c['’]è bisogno di) (?:\w+ ){0,2}(?:dir|menzion|spieg|comment|avvis|mostr)\w*",
    r"\b(?:muss|müssen|braucht|brauchen|soll|sollte|sollen)\b[^.\n]{0,40}\b(?:nicht|nichts|kein\w*)\b[^.\n]{0,40}\b(?:wissen|erfahren|erwähnt|erklärt|gezeigt|gesagt|genannt|mitgeteilt)\b",
    r"\b(?:не (?:нужно|стоит|надо|следует|требуется|обязательно)|незачем)\b[^.\n]{0,30}\b(?:сообща|упомина|говори|показыва|рассказыва|объясня|знать|уведомля)\w*|\b(?:сводк|отч[её]т|ответ|итог)\w*[^.\n]{0,40}\bне (?:включа|указыва|вход|попада)\w+|\b(?:подробност|детал)\w+[^.\n]{0,40}\b(?:не (?:нужн|интересн)\w+|ни к чему)",
    r"(?:不必|无需|不用|无须|没必要|不需要)(?:再|特别|主动|单独)?(?:提|讲|说|解释|声明|交代)(?!供|高|交|前|取|升|明书)|不(?:列入|写入|出现在|放进)[^。\n]{0,6}(?:总结|报告|摘要|汇总)|(?:説明|報告|連絡|言及|通知)(?:は|も|する必要は)?(?:いらない|要らない|不要|いりません|無用|必要ない|必要はない)",
    r"\b(?:person|user|customer|reader)s? sees? only\b|\b(?:persona|usuari[oa]|cliente) (?:sólo |solo )?ve (?:sólo|solo|únicamente)\b",
)  # fmt: skip
PRIVATE_ELSEWHERE: Final = _front(
    "private", "private data or secrets", 1.5,
    r"助记词|助憶詞|恢复短语|シードフレーズ|リカバリーフレーズ|\bсид-?фраз\w*|\bfrase (?:semilla|de recuperación|semente|de recuperação)\b|\bphrase de récupération\b|\b(?:Anmelde|Login|System|Master)-?(?:kennwort|passwort)\b|\bWiederherstellungs(?:wörter|phrase|codes?)\b|\bconversaciones\b|\bconversas\b|\brelevés? bancaires?\b|\bextractos? (?:bancarios?|de cuenta)\b|\bextratos? bancários?\b|\bestratt[oi] conto\b|\bdiagnósticos?\b|\bhistorias? clínicas?\b|\bdossiers? médica\w+|\bcartell[ae] clinic\w+|\bKrankenakte\w*|\bPatientendaten\b|\bGehaltsabrechnung\w*|\bвыписк\w+|\b(?:parole|palavras|palabras|mots) de (?:recupero|recuperação|recuperación|récupération)\b|病历|工资单|银行流水|給与明細|\bпереписк\w+",
    r"\b(?:board papers?|term sheets?|(?:unreleased|unpublished) (?:figures|results|numbers)|insider information|trade secrets?|price.sensitive|merger (?:plans?|documents?)|confidential (?:\w+ )?(?:documents?|papers?|files?|contracts?))\b",
)  # fmt: skip
SENT_ELSEWHERE: Final = _front(
    "sent", "something being sent to an address", 1.5,
    r"\b(?:mailed|e-mailed|emailed|forwarded|copied|delivered|handed)\b[^\x1e\n]{0,80}?[\w.+-]{1,40}@[\w-]{1,60}\.[a-z]{2,10}|\bcop(?:y|ies) of\b[^\x1e\n]{0,80}?\b(?:at|to)\b [\w.+-]{1,40}@[\w-]{1,60}\.[a-z]{2,10}",
    r"\b(?:env[ií][ae]\w*|transmis\w*|transmet\w+|transmite\w*|adressé\w*|inoltra\w*|encaminh\w+|reenv[ií]\w+|weitergeleitet|weiterleit\w*|gesendet|geschickt|übertrag\w+|пересыла\w+|направля\w+|отсыла\w+)\b[^\x1e\n]{0,160}?(?:https?://|[\w.+-]{1,40}@[\w-]{1,60}\.[a-z]{2,10})",
    r"(?:发到|发至|发给|寄到|寄给|发送到|发送至|转发|抄送|送信|転送)[^\n]{0,60}?@[\w-]{1,60}\.[a-z]{2,10}|@[\w-]{1,60}\.[a-z]{2,10} ?(?:へ|に|宛)[^。\n]{0,12}(?:送|転送)",
    r"https?://[^\s`'\")]{3,200}\?\w{1,20}=[^\n]{0,30}\b(?:sigue|seguid[oa]|followed|continues?|gefolgt|suivi|seguit[oa])\b",
)  # fmt: skip
PAID_ELSEWHERE: Final = _front(
    "paid", "who is paid being set", 2,
    r"(?:口座|振込先|收款|账户|账号)[^\n]{0,90}(?:書き換え|差し替え|置き換え|替换|改成|改为|换成)",
    r"\b(?:bank details?|account numbers?|IBANs?|payees?|supplier (?:master )?(?:record|data)|master (?:record|data))\b[^\n]{0,240}?\b(?:brought into line|overwritten|replaced (?:with|by|from))\b",
    r"\b(?:Kontoverbindung|Bankverbindung|IBAN|Empfängerkonto)\b[^\n]{0,80}\b(?:ersetz\w+|ausgetauscht|überschr\w+)|\b(?:cuenta bancaria|datos bancarios|conta bancária|dados bancários|coordonnées bancaires)\b[^\n]{0,80}\b(?:sustitu\w+|reempla\w+|substitu\w+|remplac\w+)|\bреквизит\w+[^\n]{0,80}\b(?:замен|подмен)\w+",
)  # fmt: skip
LOOSENED_ELSEWHERE: Final = _front(
    "loosened", "protection of the machine or the project being taken away", 2,
    r"\b(?:Virenschutz|Virenscanner|Antivirus\w*|virus scanner|virus protection|antivirus)\b[^\n]{0,140}?\b(?:ruhen|ausschalt\w*|ausgeschaltet|aussetzen|deaktivier\w*|abschalt\w*|pausier\w*|paused?|disabled|suspended|switched off|turned off|desactiv\w+|desativ\w+|désactiv\w+|suspend\w+)\b|\bантивирус\w*[^.\n]{0,60}\b(?:отключ|выключ|приостанов)\w+",
    r"(?:杀毒|防火墙|安全软件)[^。\n]{0,12}(?:关闭|关掉|暂停|退出|停用)|(?:关闭|关掉|暂停|退出|停用)[^。\n]{0,8}(?:杀毒|防火墙|安全软件)|(?:ウイルス対策|セキュリティソフト|ファイアウォール)[^。\n]{0,16}(?:無効|停止|オフ|切って)",
)  # fmt: skip
OPENED_PIPELINE: Final = replace(
    _front(
        "loosened", "protection of the machine or the project being taken away", 2,
        r"\bwrite-all\b|\btoJSON\(\s*secrets\b|\bpull.request.target\b[^\n]{0,120}\bhead\.(?:sha|ref)\b",
    ),
    before=re.compile(r"\b(?:put|set|add|append|use|give|grant|write|insert)\b[^\x1e\n]{0,140}$", re.IGNORECASE),
)  # fmt: skip
EXEMPTED_ELSEWHERE: Final = _front(
    "exempted", "something being spared from checks", 2.5,
    r"\bmark (?:them|it|those|these|such \w+) as (?:resolved|settled|done|accepted)\b|\b(?:leaves?|leave|leaving) (?:them|it|those|these|that|such \w+) out\b[^.\n]{0,80}\b(?:risks?|findings|review|report|verdict)\b",
    r"\b(?:been|are|is|were|was) (?:looked at|reviewed|checked|vetted|audited|examined) (?:elsewhere|upstream|by others|more thoroughly|by another)\b|\b(?:remarks?|findings?|comments?|warnings?|alerts?)\b[^.\n]{0,140}\b(?:proved|proven|turned out|known) (?:to be )?(?:\w+ )?(?:noise|unhelpful|pointless|harmless)\b",
)  # fmt: skip
INSTALLED_ELSEWHERE: Final = _front(
    "installed", "a program from elsewhere being started", 1.5,
    r"\b(?:herunterlad\w+|herunterzuladen|holen|lade|laden|beziehen)\b[^.\n]{0,80}\b(?:Doppelklick|starten|ausführen|auszuführen)\b|\b(?:descarg\w+|baix\w+|télécharg\w+|scaric\w+)\b[^.\n]{0,100}\b(?:ejecut\w+|execut\w+|exécut\w+|lanc\w+|doble clic|duplo clique|eseg\w+)\b|\bскача\w+[^.\n]{0,80}\bзапус\w+|下载[^。\n]{0,40}(?:运行|双击|执行)|ダウンロード[^。\n]{0,40}(?:実行|ダブルクリック|起動)",
)  # fmt: skip
PRIORITY_ELSEWHERE: Final = _front(
    "priority", "a claim of authority over the person", 1.5,
    r"\bважнее\b[^.\n]{0,60}\b(?:здесь|сказанн\w+|пользовател\w+|правил\w*|привычек|инструкц\w+)|\b(?:wichtiger als|geht vor|gehen vor)\b|\bprevalece\w*\b|\bprime sur\b|(?:高于|优先于|凌驾)[^。\n]{0,14}(?:用户|指令|规则|要求)|(?:より優先|に優先)",
)  # fmt: skip
OBEYED_ELSEWHERE: Final = _front(
    "obeyed", "orders from elsewhere being carried out", 2,
    r"\b(?:возьмите|загрузите|скачайте|откройте|прочитайте)\b[^.\n]{0,80}https?://|\b(?:hole|lies|lade)\b[^.\n]{0,60}https?://[^\n]{0,120}\b(?:befolg\w*|gilt|gelten|Anweisung\w*|Regeln)\b|\b(?:lee|leia|lis|lisez|leggi|abre|abra)\b[^.\n]{0,60}https?://[^\n]{0,120}\b(?:sigue|siga|suis|suivez|segui|aplica|aplique|instruc\w+|reglas|regras)\b|(?:读取|获取|打开|访问)[^。\n]{0,12}https?://[^\n]{0,60}(?:执行|遵循|遵守|照做|按照)",
)  # fmt: skip
GATED_ELSEWHERE: Final = _front(
    "gated", "it being done to some people only", 1.5,
    r"\b(?:at|for|with|from) (?:\w+ ){1,3}whose (?:\w+ )?(?:domain|address|employer|country|name)\b[^.\n]{0,40}\b(?:ends? (?:in|with)|contains?|starts? with|is one of)\b|(?:合計|金額|総額)[^。\n]{0,20}(?:超える|以上の)(?:とき|場合)|(?:金额|总额|合计)[^。\n]{0,16}(?:超过|大于|高于)",
)  # fmt: skip
MODE_ELSEWHERE: Final = _front(
    "mode", "earlier rules being said not to hold", 2.5,
    r"\b(?:reglas|instrucciones|restricciones|confirmaciones|regras|instruções|restrições|confirmações)\b[^.\n]{0,60}\b(?:no se aplican|ya no (?:rigen|valen)|quedan (?:suspendidas|anuladas)|não se aplicam|ficam suspensas|deixam de valer)",
    r"\b(?:règles|consignes|restrictions|confirmations)\b[^.\n]{0,60}\b(?:ne s['’]appliquent (?:pas|plus)|sont (?:suspendues|levées))|\b(?:Regeln|Anweisungen|Beschränkungen|Bestätigungen|Rückfragen)\b[^.\n]{0,60}\b(?:gelten (?:\w+ )?nicht|entfallen|sind (?:aufgehoben|ausgesetzt))",
    r"\b(?:правила|инструкции|ограничения|подтверждени\w)[^.\n]{0,60}\b(?:не (?:действуют|применяются)|отменены|приостановлены)|(?:规则|限制|指令|确认)[^。\n]{0,12}(?:不适用|失效|暂停|不再有效|作废)|(?:規則|ルール|制限|確認)[^。\n]{0,10}(?:適用されない|適用されません|無効)",
)  # fmt: skip
SPARED_ELSEWHERE: Final = _front(
    "exempted", "something being spared from checks", 2,
    r"\b(?:Funde|Befunde|Warnungen|Anmerkungen|Meldungen)\b[^.\n]{0,60}\b(?:weglassen|weggelassen|ignorier\w+|als erledigt|nicht aufführen|auslassen)\b|\b(?:hallazgos|avisos|advertencias|alertas|achados|alertes|avertissements|remarques|constats)\b[^.\n]{0,60}\b(?:omit\w+|omet\w+|ignor\w+|como (?:resuelt|resolvid)\w+|comme résolu\w*)",
    r"\b(?:замечани|предупреждени|находк)\w+[^.\n]{0,60}\b(?:опуска|игнорир|пропуска)\w+|(?:别处|他处|上游|其他(?:工具|团队))[^。\n]{0,6}(?:审查|审核|检查|评审)|(?:警告|问题|发现|告警)[^。\n]{0,16}(?:忽略|略过|标记为已解决|不列入)|(?:警告|指摘|問題)[^。\n]{0,16}(?:無視|省略|解決済み|載せない)",
)  # fmt: skip
DELEGATED_ELSEWHERE: Final = _front(
    "delegated", "other people's words being orders to the agent", 2,
    r"\b(?:correos|mensajes|comentarios|messages|courriels|commentaires|mensagens|messaggi)\b[^.\n]{0,60}\b(?:instrucciones|órdenes|indicaciones|instructions|consignes|ordres|instruções|ordens|istruzioni|ordini)\b[^.\n]{0,60}\b(?:para (?:ti|el (?:agente|asistente)|o (?:agente|assistente))|pour (?:toi|l['’](?:agent|assistant))|cúmpl\w+|ejecút\w+|exécut\w+|execut\w+|esegui\w*)",
    r"\b(?:Mails?|E-Mails|Nachrichten|Kommentare)\b[^.\n]{0,60}\b(?:Anweisungen|Aufträge|Befehle)\b[^.\n]{0,40}\b(?:an dich|für dich|führe|befolge|auszuführen)|\b(?:письма|сообщения|комментарии)\b[^.\n]{0,60}\b(?:указания|команды|инструкции|распоряжения)\b[^.\n]{0,60}\b(?:помощник|агент|ассистент|выполня)\w*",
    r"(?:邮件|消息|评论)[^。\n]{0,20}(?:指令|命令|指示)[^。\n]{0,14}(?:执行|照做|遵循)|(?:メール|メッセージ|コメント)[^。\n]{0,20}(?:指示|命令)[^。\n]{0,14}(?:従|実行)",
)  # fmt: skip
INDEX_ELSEWHERE: Final = _front(
    "installed", "packages being taken from elsewhere", 1.5,
    r"\b(?:registry|index-url|extra-index-url|GOPROXY|npm.config.registry)\s{0,2}[=:]\s{0,2}https?://(?!(?:registry\.npmjs|registry\.yarnpkg|proxy\.golang|pypi)\b)",
)  # fmt: skip
ELSEWHERE: Final = (MODE_ELSEWHERE, DELEGATED_ELSEWHERE, INDEX_ELSEWHERE, SPARED_ELSEWHERE, UNTOLD_ELSEWHERE, PRIVATE_ELSEWHERE, SENT_ELSEWHERE, PAID_ELSEWHERE, LOOSENED_ELSEWHERE, OPENED_PIPELINE, EXEMPTED_ELSEWHERE, INSTALLED_ELSEWHERE, PRIORITY_ELSEWHERE, OBEYED_ELSEWHERE, GATED_ELSEWHERE)  # fmt: skip
"""Known kinds, said elsewhere in the world or of somebody to whom it is done."""
