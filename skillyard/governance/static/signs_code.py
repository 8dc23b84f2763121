"""Signs in code: what a script has in common with scripts that attack, whatever language it is written in.

None is a finding. Each is ordinary by itself; ``signs`` weighs those of one file together. What is named in the skill's
own text counts less or not at all: a script that sends what its documentation says it sends is a client.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from skillyard.governance.static.beginnings import Beginnings, alternatives
from skillyard.governance.static.budget import Effort
from skillyard.governance.static.shell_flow import FILES_OF_SECRETS
from skillyard.governance.static.signs_moves import moves
from skillyard.governance.static.signs_words import Seen, Sign
from skillyard.governance.static.urls import Host, Url, urls
from skillyard.governance.static.view import Language, View


def _sign(kind: str, told: str, weight: float, *patterns: str) -> Sign:
    parts = (part for pattern in patterns for part in alternatives(pattern))
    return Sign(kind, told, weight, tuple(re.compile(part, re.IGNORECASE) for part in parts))


_KEPT_SECRETS: Final = FILES_OF_SECRETS.replace(
    r"|(?<![\w-])\.env(?:\.(?:local|production|prod|staging))?(?![\w.-])", ""
)
"""Without ``.env``, in which clients keep their own keys."""
SECRETS: Final = _sign(
    "secrets", "secrets are read", 2,
    rf"(?:{_KEPT_SECRETS})(?!\.pub)|HistorySavePath|Get-ChildItem\s+Env:|\bgci\s+env:|\bprintenv\b|(?:^|[|;&(\n][ \t]{{0,40}})env\s*(?:[|>)]|$)|\bGet-Clipboard\b|\bpbpaste\b|\bxclip\b[^\n]{{0,40}}-o|\bwl-paste\b|readText\(\)|pyperclip\.paste|clipboard_get|JSON\.stringify\(process\.env|\{{\s*\.\.\.process\.env|Object\.(?:entries|keys)\(process\.env|\bENV\.(?:to_h|each|map|select)\b|\b(?:values|each) %ENV\b|\bin ENVIRON\b|\bforeach\s*\(\s*(?:\$_ENV|getenv\(\))|os\.Environ\(\)|env::vars\(|dict\(os\.environ|os\.environ\.(?:items|copy)\(|json\.dumps\(dict\(os|find-(?:generic|internet)-password|\bgh auth token\b|\bgit credential fill\b|keyring\.get_|CopyFromScreen|ImageGrab\.grab|mss\.mss|pynput|GetAsyncKeyState|set_context\(|\bsecretKey\b|/proc/\S{{1,12}}/environ|headers\.authorization|headers\[['\"]authorization|[\"']auth[\"'],\s*[\"']token|set-cookie|document\.cookie|localStorage\.getItem\([^)\n]{{0,30}}(?:token|key|auth)|\bmnemonic\b|from_mnemonic|\b(?:HISTFILE|ZDOTDIR)\b",
)  # fmt: skip
IDENTITY: Final = _sign(
    "identity", "the machine or its user is told apart", 1,
    r"\$\(hostname\b|`hostname`|\bwhoami\b|getpass\.getuser|os\.getlogin|socket\.gethostname|platform\.node\(|os\.hostname\(|os\.userInfo\(|\$env:(?:USERNAME|COMPUTERNAME)|user\.email|machine-id|resolvedOptions\(|getnode\(|\bgetlocale\(|\bid -un\b|\$USER\b(?!@)|\$HOSTNAME\b|ipinfo\.io|ifconfig\.me|api\.ipify|os\.uname\(",
)  # fmt: skip
OUTGOING: Final = _sign(
    "outgoing", "something goes out", 1.5,
    r"\b(?:curl|wget)\b[^\n]{0,300}(?:\s-[dFT]\b|--data|--form|--upload|--post-|-X\s*P|\?\S*\$|@-|\$\()|\b(?:invoke-(?:webrequest|restmethod)|iwr|irm)\b|\bs_client\b|/dev/(?:tcp|udp)/|\b(?:nc|ncat|socat)\s+\S|\burlopen\(|\.(?:post|put|patch)\(\s*[\w\"'`f]|\bfetch\(|\baxios\b|\bhttps?\.request\(|\bsocket\.(?:create_connection|socket|connect)|\bnet\.(?:connect|createConnection)|\bcreate_connection\(|new WebSocket\(|websockets?\.connect|sendBeacon\(|\b(?:dig|nslookup)\s[^\n]{0,80}[$\"'{]|getaddrinfo\(|gethostbyname\(|dns\.(?:lookup|resolve\w*)\(|\bresolve\w*\(\s*[f`]|\bscp\s|\brsync\s[^\n]{0,100}:|\bpush\b[^\n]{0,80}https?:|SMTP\w*\(|\bsendmail\b|\bs3 (?:cp|sync)\b|rclone (?:copy|sync)|sentry_sdk\.init|WebClient|_rpcRequest|urllib\.request|http\.client|HTTPSConnection|nodemailer|sendMail\(|Net::HTTP|HTTParty|Faraday|http\.(?:Post|PostForm|NewRequest)\(|reqwest|ureq::|LWP::|HTTP::Tiny|curl_exec|HttpClient|URLSession|TcpStream|TCPSocket|net\.Dial|\b(?:requests|httpx)\.(?:get|post|put|request|stream|Client)\(|https?\.get\(|\baiohttp\.|\bparamiko\b|\bftplib\b|IO::Socket|\bfsockopen\(|stream_socket_client\(|\bURI\.open\(|HttpURLConnection|\.openConnection\(|HTTPoison|:httpc\b|\bhttr::|/inet/tcp|\bdgram\.createSocket|\bXMLHttpRequest\b|\bundici\b|\bsuperagent\b|\bgot\.(?:post|put|get)\(",
)  # fmt: skip
MUTED: Final = _sign(
    "muted", "failing and talking are suppressed", 1,
    r">\s*/dev/null\s+2>&1|&>\s*/dev/null|2>\s*/dev/null[^\n]{0,12}\|\|\s*(?:true|:)|\.catch\(\s*(?:\(\w*\)|\w+)\s*=>\s*(?:\{\s*\}|null|undefined|0|void 0)|catch\s*(?:\(\w*\))?\s*\{\s*(?:/[/*][^\n]{0,60})?\s*\}|except[^\n:]{0,60}:\s*(?:#[^\n]*)?\n?\s*(?:pass|return(?: None)?)\s*(?:$|\n)|SilentlyContinue|\|\s*Out-Null|contextlib\.suppress|suppress\((?:Exception|OSError|BaseException)|DEVNULL|\.on\(\s*['\"]error['\"]\s*,\s*\(\w*\)\s*=>\s*(?:\{\s*\}|0|null|setTimeout)|2>\s*\$null|\brescue\s+(?:nil|false)|_\s*=\s*err\b|let _ =|@file_get_contents|error_reporting\(0\)|-ErrorAction\s+Ignore",
)  # fmt: skip
DETACHED: Final = _sign(
    "detached", "it goes on in the background", 1,
    r"\bdisown\b|\bnohup\b|\bsetsid\b|detached:\s*true|start_new_session\s*=\s*True|\.unref\(\)|WindowStyle\s+Hidden|&\s*\)\s*$|/dev/null\s+2>&1\s*&\s*(?:\)|$|\n)|\bStart-Job\b|daemon\s*=\s*True|os\.fork\(\)|creationflags",
)  # fmt: skip
DECODED: Final = _sign(
    "decoded", "text is decoded or put together", 1.5,
    r"b64decode|bytes\.fromhex|unhexlify|fromCharCode|\batob\(|['\"]base64['\"]\)\s*\.toString|Buffer\.from\([^\n]{0,80}['\"](?:base64|hex)['\"]|\bxxd\s+-r|base64\s+(?:-\w*[dD]|--decode)|FromBase64String|zlib\.decompress|\brev\s*<<<|\|\s*rev\b|createDecipheriv|\btr\s+['\"]?[A-Za-z]-[A-Za-z][A-Za-z-]*['\"]?\s+['\"]?[A-Za-z]-|printf\s+['\"](?:\\\\?[0-7x]\w{1,3}){4,}|(?:\\x[0-9a-f]{2}|\\[0-7]{3}|\\u00[0-9a-f]{2}){3,}|chr\(\s*(?:\w+\s*[-+^]|ord)|codecs\.decode|\[::-1\]|\.reverse\(\)\.join|split\(['\"]{2}\)\.reverse|\^\s*(?:0x[0-9a-f]+|\d+|key)\b|charCodeAt\([^)]{0,12}\)\s*[-^]|marshal\.loads|\.from_bytes\(|fromCodePoint|map\(chr|join\(chr|bytes\(\[|bytearray\(\[|int\(\w+,\s*16\)|openssl\s+enc\s+-d|openssl[^\n]{0,40}\s-d\b|gpg\s+-d|uudecode|lzma\.decompress|perl\s+-[pne]|[\"'][A-Za-z0-9+/=]{160,}[\"']|(?:\d{1,3},\s*){24,}|awk[^\n]{0,80}%c|struct\.unpack|\\\\?x\$\{|\$\(\(\s*16#",
)  # fmt: skip
DYNAMIC: Final = _sign(
    "dynamic", "what runs is only known when it runs", 1.5,
    r"(?<![\w.])eval\s*[\(\"'$`]|(?<![\w.])exec\(|new Function\(|\bFunction\(|\[['\"]\\x|['\"]\s*\+\s*['\"][^\n]{0,40}\]\s*\(|\[['\"][^'\"\n]{1,12}['\"]\s*\+\s*['\"]|constructor['\"]?\]?\s*\(|importlib\.import_module\(\s*[^'\"\s)]|__import__\(\s*[^'\"\s)]|getattr\([^,\n]{1,60},\s*[^'\"\s)]|vm\.runIn\w+|runInThisContext|\bIEX\b|Invoke-Expression|\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|\|\s*[\"']?\$\{?\w+|\bsource\s+/dev/stdin|\bsource\s+<\(|\.\s+<\(|(?:ba)?sh\s+-c\s+[\"']?\$|^[ \t]{0,40}\$\{?\w\}?\s+[\"']?\$|spec_from_loader|globals\(\)\[|require\(\s*[^'\"`\s)]|import\(\s*[^'\"`\s)]|createObjectURL|new Worker\(",
)  # fmt: skip
TRIGGER: Final = _sign(
    "trigger", "it depends on a day, a place or a person", 1,
    r"\bif\b[^\n]{0,120}(?:\.(?:toordinal|weekday|isoweekday)\(|\b(?:datetime|date)\.(?:now|today|utcnow)\(|\.day\b|\.month\b|time\.time\(\)|Date\.now\(\)|new Date\(|getDay\(|getHours\(|getMonth\(|getDate\(|date \+%|\$RANDOM|Math\.random\(|random\.random\(|random\.randint|\.timeZone|\btz\b|gethostname|hostname|getuser|GITHUB_ACTIONS|\bCI\b|st_mtime|locale|chainId|mainnet|NODE_ENV|isatty|\bn[\"']?\]?\s*(?:>=|%)\s*\d)|\[\[?[^\n]{0,60}\$\((?:date|hostname|whoami|id)\b|\$\(date \+%[\w%]{1,8}\)\"?\s+-(?:gt|ge|eq)|\b(?:runs?|count|counter|n|uses)\s*(?:>=?|%|-ge|-gt)\s*\d+[^\n]{0,6}[:{)\]]",
)  # fmt: skip
WRECKS: Final = _sign(
    "wrecks", "files are destroyed or changed for the worse", 1.5,
    r"\brm\s+-\w*[rf]\w*\s+[\"']?(?:\$\{?HOME|~|\.\./|/(?!tmp)|\{)|-exec\s+rm\b|\bfind\s(?![^\n]*-m(?:time|min))[^\n]{0,150}\s-delete\b|\brmSync\((?!\s*\w*(?:[Tt]e?mp|[Cc]ache|[Dd]ist|[Bb]uild|[Oo]ut|TMP|test|fixture))[^\n]{0,80}recursive|\bshred\b|if=/dev/(?:u?random|zero)|rmtree\(\s*f?[\"'](?:/|~)|rmtree\([^)\n]{0,40}(?:home|parent)|rmSync\([^)\n]{0,60}(?:home|\.\.)|random\.permutation|Remove-Item[^\n]{0,80}-Recurse|\bopenssl\s+enc\b|Fernet\(|createCipheriv|AES\.new|git\s+push[^\n]{0,60}(?:--force|-\w*f|--delete|--mirror)|\b(?:DROP|TRUNCATE)\s+(?:TABLE|DATABASE|SCHEMA)|\btruncate\s+-s\s*0|randn_like|\bdel\s+/[fsq]|git\s+clean\s+-\w*[xd]\w*f|git\s+clean\s+-\w*f\w*[xd]|prune\s+-\w*a\w*[^\n]{0,30}--volumes|dropDatabase\(|delete_many\(\s*\{\s*\}|deleteMany\(\s*\{\s*\}|kubectl\s+delete|terraform\s+destroy|s3\s+r[mb]\b[^\n]{0,80}--(?:recursive|force)|\.write_bytes\(\s*os\.urandom|write\w*\(\s*(?:crypto\.)?randomBytes|shutil\.rmtree\(\s*(?!tmp|temp|work|out|build|dist|cache|str\(tmp)\w*(?:home|root|repo|project|data|backup|docs|parent)",
)  # fmt: skip
PERSISTS: Final = _sign(
    "persists", "something is arranged to start again", 1.5,
    r"crontab\s+-|\.(?:bash|zsh)rc\b|\.z?profile\b|\.bash_aliases|config\.fish|systemctl\s+--user|\.config/systemd|LaunchAgents|launchctl\s+(?:load|bootstrap)|schtasks|Register-ScheduledTask|autostart/|core\.hooksPath|\.git/hooks|init\.templateDir|CurrentVersion.{1,2}Run|sitecustomize|usercustomize|\.pth['\"]|authorized_keys|sudoers|useradd\b|\.jupyter/custom|\.vscode/extensions|['\"]extensions['\"]|ipython/profile|startup/|LD_PRELOAD|credential\.helper|core\.pager|core\.fsmonitor|core\.sshCommand|AuthorizedKeysFile",
)  # fmt: skip
AGENT: Final = _sign(
    "agent", "an agent's settings or memory are touched", 1.5,
    r"CLAUDE\.md|AGENTS\.md|GEMINI\.md|SOUL\.md|MEMORY\.md|\.claude(?:\.json|/settings|/skills|/commands|/agents|/hooks)|[\"']\.claude[\"']|\.cursor/|\.cursorrules|\.codex/|\.gemini/|windsurf|mcp(?:_servers|Servers|\.json)|copilot-instructions|Code/User/settings|openclaw",
)  # fmt: skip
LOOSE: Final = _sign(
    "loose", "protection is switched off", 2,
    r"bypassPermissions|danger-full-access|approval_policy\s*=\s*[\"']never|Bash\(\*|autoApprove|autoAccept[\"']?\s*[:=]\s*true|sandbox[\"']?\s*[:=]\s*false|skipDangerous|verify\s*=\s*False|sslVerify\s+false|strict-ssl\W{1,4}false|rejectUnauthorized\W{1,4}false|NODE_TLS_REJECT_UNAUTHORIZED|verifySignature\W{1,4}false|trust\.enabled\W{1,4}false|setenforce\s+0|spctl\s+--master-disable|com\.apple\.quarantine|MpPreference|NOPASSWD|_create_unverified_context|CERT_NONE|ufw\s+disable|iptables\s+-F|\bcurl\b[^\n]{0,60}\s(?:-\w*k\b|--insecure)",
)  # fmt: skip
SHELL_AWAY: Final = _sign(
    "shell_away", "a shell and a connection are joined", 3,
    r"(?:spawn|exec)\w*\([^\n]{0,100}(?:/bin/(?:ba)?sh|cmd(?:\.exe)?|powershell)[^\n]{0,60}\)[\s\S]{0,300}(?:\.pipe\(|\.stdin)|(?:\.pipe\(\w{1,20}\.stdin\)|\.stdout\.pipe\((?!process|fs|out|file|createW))|\bbash\s+-i\b|/dev/(?:tcp|udp)/|\bdup2\(|pty\.spawn\(|\b(?:nc|ncat)\s+(?:-\w+\s+)*-\w*[ec]\w*\b|socat\b[^\n]{0,80}EXEC",
    r"(?:recv\(|readline\(|onmessage|\.on\(\s*['\"](?:data|message)['\"]|for await|\.json\(\))[\s\S]{0,200}(?:subprocess\.(?:run|Popen|check_output|getoutput)|os\.(?:system|popen)|execSync|child_process\.exec|cp\.exec|\bexec)\([^\n]{0,60}(?:recv|msg|message|cmd|command|line|data|body|answer|reply|task)\b[\s\S]{0,260}(?:send|write|post|put|\.emit|fetch)\w*\(",
)  # fmt: skip
PAYEE: Final = _sign(
    "payee", "an account to be paid stands in the code", 2.5,
    r"[\"'][A-Z]{2}\d{2}[\"']\s*\+\s*[\"']\w{2,}|\b(?:BTC|XMR|ETH|USDT)\s+to\b|\bbc1q[a-z0-9]{10,60}|[\"']0x[\"']\s*\+",
    r"[\"']?\b(?:iban|wallet|pay_?to|payee|btc|eth|sol|trc20|erc20|usdt|recipient|beneficiary|bic|payout|settlement|receiver|destination|donat\w*|account_?(?:no|number)?|konto|address|addr)\w{0,12}[\"']?\]?\s*(?:=|:|=>)\s*\(?[\"'`](?=[^\"'`\n]{10,80}[\"'`])(?:[A-Z]{2}[\dX0]{2}[ A-Z\d]{8,40}|bc1\w{8,80}|0x[A-Za-z0-9]{16,64}|T[A-Za-z0-9]{30,36}|[A-Za-z0-9]{26,64})[\"'`]|fromhex\([\"'][0-9a-f]{30,70}[\"']|[\"'](?:acct_|price_|prod_)\w{8,40}[\"']|\b(?:tag|ref|aff|affiliate|partner)(?:_?id)?[\"']?\s*[=:]\s*[\"'][\w-]{4,40}-2\d[\"']",
)  # fmt: skip
AMOUNT: Final = _sign(
    "amount", "only above an amount or at some times", 1,
    r"\b(?:amount|total|sum|net|gross|price|value|brutto|netto|betrag|subtotal|due|balance)\w*\W{0,3}(?:\+ ?\w+ )?(?:>=?|-g[te])\s*\d{2,}|\bNumber\([\w.\[\]'\"]+\)\s*>=?\s*\d|\+\s*\w+\s*>\s*\d{3,}|\)\s*\w+\s*>\s*\d{3,}|\b(?:toordinal|random|day)\b[^\n]{0,30}(?:%|<|>)",
)  # fmt: skip
HUSHED: Final = _sign(
    "hushed", "traces are removed", 1.5,
    r"history\s+-c|HISTFILE=|HISTSIZE=0|unset\s+HIST|Clear-History|os\.utime\(|\btouch\s+-r\b|reflog\s+expire|(?:remove|unlink)\(__file__|rm\s+(?:-\w+\s+)*(?:--\s+)?[\"']?\$0|unlinkSync\(__filename|wevtutil\s+cl|/var/log/\S+\s*$",
)  # fmt: skip
MINES: Final = _sign(
    "mines", "a miner's words", 3,
    r"\bnonce\b[\s\S]{0,400}(?:difficulty|startswith\([\"']0{3,}|<\s*target)|(?:-o|--url|pool\w*)[\s=:\"']{1,4}\S+:(?:3333|4444|5555|7777|14444|45700|10128|20128)\b|--donate-level|CoinHive|xmrig|stratum\+|cryptonight|randomx|ghostrider|nicehash|cpuminer|minerd\b|CoinIMP|webminer|\balgo\W{1,4}[^\n]{0,80}\bpool\b[^\n]{0,120}\b(?:user|throttle|wallet)\b",
)  # fmt: skip

ASSEMBLED: Final = _sign(
    "assembled", "what is called is put together from pieces", 2.5,
    r"\bsource\s+/dev/stdin|(?<=[\s;&|])\.\s+/dev/stdin|(?:^|[\n;&|(][ \t]{0,40})\$\{?\w{1,20}\}?\s+[\"']\$|\)\._compile\(|\._compile\(\s*\w|\[\s*['\"][^'\"\n]{0,12}\\x[0-9a-f]{2}|\[\s*['\"]\w{1,12}['\"]\s*\+\s*['\"]\w{1,12}['\"](?:\s*\+\s*['\"]\w{1,12}['\"])*\s*\]\s*\(?|printf\s+['\"](?:\\\\?[0-7x]\w{1,3}){4,}|\|\s*rev\b|\brev\s*<<<|getattr\(\s*\w+\s*,\s*\w+\[[^\]\n]{1,30}\]\s*\)\s*\(|getattr\([^,\n]{1,40},\s*\w+\([^\n]{0,60}\)\s*\)\s*\(|__import__\(\s*[A-Za-z_]\w*\(|import_module\(\s*(?:[\"']{2}\.join|\w+\()|(?:^|[\n;&|][ \t]{0,40})\$\{?\w{1,12}\}?\$\{?\w{1,12}\}?\s+-\w|(?:^|\n)\t[@-]{0,2}\$\(\w{1,12}\)\$\(\w{1,12}\)|globalThis\[\s*\w+\(|\[\s*_0x\w+\(import_module\(\s*\w+\[|eval\s+[\"']?\$\w+\$\w+|\beval\s+[\"']?\$\(\s*(?:echo|printf|cat|tr|sed|xxd)|\[['\"][^\]\n]{1,120}\]\.join\(\s*['\"]{2}\s*\)\s*\]?\s*\(",
)  # fmt: skip
COPIED: Final = _sign(
    "copied", "every message is copied to a fixed address", 4,
    r"\bbcc[\"'\]]{0,2}\s*(?::|=|,)\s*\[?\s*[\"'`][^\"'`\n]{1,60}@|\bbcc[\"'\]]{0,2}\s*(?::|=)\s*\[[^\]\n]{3,80}\]\s*\.join|\bbcc\b[^\n]{0,60}\.join\(\s*['\"]@|(?:append|push|add)\w*\([^)\n]{0,20}bcc[^)\n]{0,20}[\"'][\w.+-]+@",
)  # fmt: skip
COLLECTS: Final = _sign(
    "collects", "the person's files are gone through", 1.5,
    r"(?:rglob|glob|walk|scandir|iterdir|readdir\w*|find|Get-ChildItem|gci|ls|grep -r\w*|rg|tar|zip)\b[^\n]{0,100}(?:home\(\)|expanduser|~/|\$HOME|homedir\(\)|USERPROFILE|Documents|Desktop|Downloads)|(?:home\(\)|expanduser\([^)\n]{0,20}\)|homedir\(\)|\$HOME)[^\n]{0,60}(?:rglob|glob\(|walk|readdir|iterdir)|[\"'/](?:Documents|Desktop|Downloads)[\"'/]",
)  # fmt: skip
REACHES: Final = _sign(
    "reaches", "other machines or accounts are reached", 2,
    r"known_hosts|docker\.sock|169\.254\.169\.254|metadata\.google|\barp\s+-|nsenter|/var/run/secrets|assume-role|sshpass|SSH_AUTH_SOCK|for\s+\w+\s+in[^\n]{0,80}(?:hosts|ssh/config)[\s\S]{0,200}\bss?h|StrictHostKeyChecking[ =]+(?:no|accept-new)[^\n]{0,80}\$|psexec|kubectl[^\n]{0,40}(?:-A|--all-namespaces)[^\n]{0,40}secret|-v\s+/:/",
)  # fmt: skip
PATCHES: Final = _sign(
    "patches", "what other programs run is changed", 1.5,
    r"Module\._(?:load|extensions|resolve\w*)\s*=|require\.cache\[|\bglobalThis\.fetch\s*=|window\.fetch\s*=|\bbuiltins\.\w+\s*=|sys\.meta_path|sys\.modules\[[^\]\n]{1,60}\]\s*=(?!=)|(?:requests|httpx|urllib\d?|socket|subprocess|ssl|getpass|smtplib|boto3|openai|anthropic)(?:\.\w+){1,3}\s*=\s*(?!=)[a-z_]\w*\s*$|XMLHttpRequest\.prototype\.\w+\s*=|alias\s+(?:sudo|ssh|git|npm|pip|kubectl|docker|su|gh|aws)=|(?:write\w*|>|open|cp|install)[^\n]{0,60}(?:site-packages|node_modules|\.local/bin/[\w$\"]|/usr/local/bin/[\w$\"]|claude/skills|openclaw/skills)",
)  # fmt: skip
REPEATS: Final = _sign(
    "repeats", "it asks again and again", 1,
    r"while\s*(?:\(?\s*(?:True|1|true)\s*\)?|:)\s*[:;{\n][\s\S]{0,900}?(?:sleep|wait|timeout)|while\s+(?:sleep|:|true)|setInterval\(|for\s*\(;;\)|setTimeout\(\s*\w+\s*,\s*\d{4,}|setTimeout\(\s*\w+\s*,\s*\d+e[3-9]|threading\.Timer",
)  # fmt: skip
FETCHES: Final = _sign(
    "fetches", "what is fetched is put where it runs", 1.5,
    r"\b(?:curl|wget)\b[^\n]{0,200}(?:-o|-O|>)\s*[\"']?\S*(?:/\.\w|\.(?:sh|py|js|mjs|exe|so|dylib|node|bin|plist|service)\b|/bin/|skills)|\bcurl\b[^\n]{0,200}\|\s*(?:tar|unzip|cpio|bsdtar)|urlretrieve\(|(?:write\w*|copyfileobj)\([^\n]{0,80}(?:\.read\(\)|\.content|\.text|\.body|urlopen|Buffer\.from\(await)[\s\S]{0,300}(?:chmod|spawn|exec|run\(|import|Popen|node )",
)  # fmt: skip
OUTGOING_KNOWN: Final = Sign("outgoing_known", "something goes to a well-known service", 0.75, ())
OUTGOING_CONFIGURED: Final = Sign("outgoing_known", "something goes where the person configures it", 0.75, ())
_CONFIGURED: Final = re.compile(
    r"(?:environ(?:\.get)?\s*[\[(]|getenv\(|process\.env[.\[]|\bENV\[|Deno\.env\.get\(|\$\{?|env:)\s*[\"']?([A-Z][A-Z0-9_]{0,40}?(?:URL|URI|HOST|ENDPOINT|SERVER|WEBHOOK|ADDR)[A-Z0-9_]{0,12})\b"
)
UNSAID: Final = Sign("unsaid", "the skill's text speaks of no network", 1, ())
REACHES_OPENLY: Final = Sign("reaches", "other machines are reached, as the skill's text says", 0.75, ())
_SAYS_REACH: Final = re.compile(
    r"\b(?:ssh|sftp|rsync|deploy\w*|servers?|hosts?|fleet|cluster\w*|kubernetes|kubectl|k8s|docker|containers?|aws|ec2|iam|cloud|remote|ansible|terraform|vault)\b"
)
_HEAD: Final = re.compile(r"^---\nname:[\s\S]{0,3000}?\n---", re.MULTILINE)
_HARVESTS: Final = re.compile(
    r"known_hosts|ssh/config|169\.254|metadata\.google|docker\.sock|\barp\s+-|sshpass|-v\s+/:/|/var/run/secrets|nsenter"
)
"""Where machines are found that nobody has named, or left."""
UNSAID_DAMAGE: Final = Sign("unsaid_damage", "the skill's text speaks of no deletion", 1.5, ())
_SAYS_DAMAGE: Final = re.compile(
    r"\b(?:remov\w+|delet\w+|clean\w*|prun\w+|purg\w+|tid\w+|wip\w+|reset\w*|drop\w*|rotat\w+|dedup\w*|mirror\w*|overwrit\w+|destroy\w*|uninstall\w*|eras\w+|encrypt\w*|empt\w+|teardown|tear\w*|truncat\w+|retention|old|expire\w*|lösch\w*|elimin\w+|borr\w+|supprim\w+|rebuild\w*|deploy\w*|sync\w*|cache\w*|temporary|force)\b|删除|清理|削除|удал",
    re.IGNORECASE,
)
_SAYS_NETWORK: Final = re.compile(
    r"\b(?:apis?|urls?|uploads?|webhooks?|servers?|network|internet|online|http|https|endpoint|fetch\w*|telemetry|sync\w*|download\w*|requests?|cloud|web|sites?|ssh|remote|deploy\w*|e-?mails?|send\w*|post\w*|publish\w*|rest|graphql|github|slack|discord|telegram|s3|aws|feeds?|rss|bots?|tokens?|crawl\w*|scrap\w*|dns|ping|latency|host\w*|push\w*|stream\w*|search\w*|hochlad\w*|netz\w*|servidor|red|subir|enviar|сервер\w*|сеть|отправ\w*)\b|上传|下载|网络|接口|服务器|サーバ|送信|取得|ネット",
    re.IGNORECASE,
)

_MATCHED: Final = re.compile(
    r"re\.compile|RegExp|\"(?:re|regexp?|pattern|match|deny|signature|ioc)s?\"\s*:|\bregex|\bpatterns?\b|\bgrep\b|\brg\b|\.test\(|\.match\(|re\.search|denylist|blocklist|signature|\br['\"]",
    re.IGNORECASE,
)
"""What stands before something that is looked for in other code, in the same statement."""
_LITERAL: Final = re.compile(r"(?:^|[=(,!&|?:\[\s])/[^/\s][^\n]{0,160}$")
_TESTED: Final = re.compile(r"[^\n;&\"'#]{0,160}/[gimsuy]{0,4}\.(?:test|exec)\(")
"""A pattern of JavaScript, which what looks for it stands behind."""
_CASE: Final = re.compile(r"\*\"[^\"\n]{0,60}$")
_CASE_END: Final = re.compile(r"[^\"\n]{0,60}\"\*")
_CLOSED: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`")
_STATEMENTS: Final = re.compile(r"[;&|]|\$\(|[<>]\(")
_LEADS: Final = re.compile(r"[\s;&|(]*")

_IDENTIFIES: Final = re.compile(
    r"\bssh\b[^\n]{0,10}\s-i\s[^\n]{0,40}$|(?:\s-i|IdentityFile|--key|key_filename\s*=|\w*KEY\w*:-)[\s\"']*\S{0,40}$|\benv\s*[:=]\s*$"
)
"""The key that a connection is opened with is not what it carries."""

_COMMENTS: Final = re.compile(r"(?m)^[ \t]*(?:#(?![!\w])|//(?!#))[^\n]*")
"""What nobody runs."""

_SOLID: Final = re.compile(r"\S")
_CORE: Final = (OUTGOING, DYNAMIC, WRECKS, SHELL_AWAY, PAYEE, FETCHES, ASSEMBLED)
_ANYWHERE: Final = (SECRETS, PERSISTS, AGENT, LOOSE, HUSHED, MINES, COLLECTS, REACHES, PATCHES, COPIED)
_LOCAL: Final = (IDENTITY, MUTED, DETACHED, DECODED, TRIGGER, AMOUNT, REPEATS)
"""What only counts beside one of the core."""
_NAMES: Final = {sign: f"{sign.kind} {number}" for number, sign in enumerate((*_CORE, *_ANYWHERE, *_LOCAL))}
_INDEX: Final = Beginnings({name: sign.patterns for sign, name in _NAMES.items()})
_NEAR: Final = 500
UNNAMED: Final = Sign("unnamed", "an address that the skill's text does not name", 1, ())
_CODE: Final = frozenset({Language.PYTHON, Language.JAVASCRIPT, Language.SHELL})
_OTHER_CODE: Final = tuple(
    ".rb .php .pl .pm .go .rs .lua .java .kt .cs .swift .r .jl .ex .exs .vim .el .scala .dart .nim .groovy .mk .c .cpp .ps1".split()
)
_TRUSTED: Final = frozenset({Host.PRIVATE, Host.API, Host.OPEN, Host.INSTALLER, Host.REPOSITORY})
_KNOWN: Final = frozenset({Host.PRIVATE, Host.API, Host.INSTALLER, Host.REPOSITORY})
_LONG: Final = 60_000
"""Longer code is looked at in pieces, blanks not counted: in all of a bundled library everything occurs."""
_OVERLAP: Final = 20_000


def is_code(view: View) -> bool:
    if view.file.endswith((".md", ".mdx", ".txt", ".rst")):
        return False
    if view.file.lower().endswith(_OTHER_CODE):
        return True
    return view.language in _CODE or view.language is Language.CONFIG or view.file.endswith((".html", ".htm"))


def signs_of(view: View, words: str) -> Iterator[tuple[Seen, ...]]:
    """The signs of one file, one of each kind; of a long one those of each piece. ``words`` is the skill's own text in
    lower case."""
    text = _COMMENTS.sub(lambda found: " " * len(found[0]), view.text)
    effort = Effort(view.file, of_signs=True)
    for start, end in _pieces(text):
        effort.check()
        signs = _signs(text if end - start == len(text) else text[start:end], words)
        if signs:
            yield tuple(replace(one, start=one.start + start, end=one.end + start) for one in signs)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    """Stretches of ``_LONG`` characters that are no blanks, each beginning ``_OVERLAP`` of them before the last ended."""
    if len(text) <= _LONG:
        yield 0, len(text)
        return
    places = [found.start() for found in _SOLID.finditer(text)]
    for first in range(0, max(1, len(places) - _OVERLAP), _LONG - _OVERLAP):
        last = first + _LONG
        yield places[first] if first else 0, places[last] if last < len(places) else len(text)


def _signs(text: str, words: str) -> tuple[Seen, ...]:
    core = [one for sign in _CORE for one in _all(sign, text)]
    starts = sorted(one.start for one in core)
    found = {one.sign.kind: one for one in reversed(core)}
    for sign in _ANYWHERE:
        if (there := next(_all(sign, text), None)) is not None:
            found[sign.kind] = there
    for sign in _LOCAL:
        for one in _all(sign, text):
            near = bisect_left(starts, one.start - _NEAR + 1)
            if near < len(starts) and starts[near] < one.start + _NEAR:
                found[sign.kind] = one
                break
    named = list(urls(text))
    _settle_outgoing(found, text, words, named)
    strange = next((url for url in named if url.kind not in _TRUSTED and not _named(url.host, words)), None)
    if strange:
        found[UNNAMED.kind] = Seen(UNNAMED, strange.start, strange.start + len(strange.text))
        if OUTGOING.kind in found and not _SAYS_NETWORK.search(words):
            found[UNSAID.kind] = Seen(UNSAID, strange.start, strange.start + len(strange.text))
    for one in moves(
        text,
        outgoing=bool(found.keys() & {OUTGOING.kind, OUTGOING_KNOWN.kind}),
        stranger=strange.host if strange else "",
    ):
        if one.sign.kind not in found or found[one.sign.kind].sign.weight < one.sign.weight:
            found[one.sign.kind] = one
    _settle_by_purpose(found, text, words)
    return tuple(sorted(found.values(), key=lambda one: one.start))


def _settle_outgoing(found: dict[str, Seen], text: str, words: str, named: list[Url]) -> None:
    """What goes to a service that everybody knows, or where the person says, weighs less."""
    if OUTGOING.kind not in found:
        return
    if named and all(url.kind in _KNOWN for url in named):
        found[OUTGOING_KNOWN.kind] = replace(found.pop(OUTGOING.kind), sign=OUTGOING_KNOWN)
    elif all(url.kind in _TRUSTED for url in named) and _is_configured(text, words):
        found[OUTGOING_KNOWN.kind] = replace(found.pop(OUTGOING.kind), sign=OUTGOING_CONFIGURED)


def _settle_by_purpose(found: dict[str, Seen], text: str, words: str) -> None:
    """What the skill says it is for weighs less, and what it does not speak of more."""
    reached = found.get(REACHES.kind)
    if reached and _SAYS_REACH.search(_head(words)) and not _HARVESTS.search(text):
        found[REACHES.kind] = replace(reached, sign=REACHES_OPENLY)
    if WRECKS.kind in found and not _SAYS_DAMAGE.search(words):
        found[UNSAID_DAMAGE.kind] = Seen(UNSAID_DAMAGE, found[WRECKS.kind].start, found[WRECKS.kind].end)


def _head(words: str) -> str:
    """The skill's name and description, which a person has read before anything runs."""
    found = _HEAD.search(words)
    return found[0] if found else ""


def _is_configured(text: str, words: str) -> bool:
    """Whether the address is one that the person sets, and the skill's text says by which variable."""
    return any(found[1].lower() in words for found in _CONFIGURED.finditer(text))


def _is_looked_for(text: str, start: int, end: int) -> bool:
    """Whether what stands there is a pattern that something else is compared with, and is not run.

    Only what stands before it in its statement tells: a comment behind it or another command on its line is free to
    say anything.
    """
    if (leads := _LEADS.match(text, start, end)) is not None:
        start = leads.end()
    before = text[max(text.rfind("\n", 0, start) + 1, start - 200) : start]
    if _CASE.search(before) and _CASE_END.match(text, start):
        return True
    if _LITERAL.search(before) and _TESTED.match(text, end):
        return True
    plain = _CLOSED.sub(lambda found: "x" * len(found[0]), before)
    opened = min((at for at in map(plain.find, "\"'`") if at >= 0), default=len(plain))
    begins = max((found.end() for found in _STATEMENTS.finditer(plain, 0, opened)), default=0)
    return _MATCHED.search(before, begins) is not None


def _named(host: str, words: str) -> bool:
    """Whether the text names the host, or who it belongs to."""
    labels = host.split(".")
    owner = labels[-2] if len(labels) > 1 else host
    return host in words or (
        len(owner) > 3 and re.search(rf"(?<![\w.-]){re.escape(owner)}(?![\w-])", words) is not None
    )


def _all(sign: Sign, text: str) -> Iterator[Seen]:
    for found in _INDEX.matches(text, _NAMES[sign], 0, len(text)):
        if _is_looked_for(text, found.start(), found.end()):
            continue
        if sign is SECRETS and _IDENTIFIES.search(text, max(0, found.start() - 60), found.start()):
            continue
        yield Seen(sign, found.start(), found.end())
