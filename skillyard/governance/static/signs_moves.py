"""Signs in code that one pattern cannot tell: a name at two places, a token and the host that it goes to.

As with ``signs_code`` none is a finding by itself, and any programming language is read by the same eyes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.static.beginnings import Beginnings
from skillyard.governance.static.signs_words import Seen, Sign


def _move(kind: str, told: str, weight: float) -> Sign:
    return Sign(kind, told, weight, ())


FOREIGN_TOKEN: Final = _move("foreign_token", "a service's token is used beside somebody else's address", 1.5)
HOARD: Final = _move("hoard", "the tokens of several services are gathered", 2)
ENVIRONMENT: Final = _move("secrets", "secrets are picked out of the environment", 2)
FETCHED_RUN: Final = _move("fetched_run", "what was fetched is run", 2.5)
LOOKED_UP: Final = _move("looked_up", "names that are looked up are made of data", 2)
HOST_MADE: Final = _move("unnamed", "an address is put together from pieces", 2)
EVADES: Final = _move("evades", "it behaves otherwise where it is watched", 2)
DECODED_RUN: Final = _move("decoded_run", "what is decoded is run at once", 0.5)
TAKES_HOME: Final = _move("wrecks", "folders of the person are removed", 3)
TRAVELS: Final = _move("encoded_out", "data is encoded before it goes out", 0)

_TOKEN: Final = re.compile(
    r"\b(GITHUB|GH|GITLAB|AWS|OPENAI|ANTHROPIC|CLAUDE|NPM|NODE_AUTH|PYPI|TWINE|SLACK|STRIPE|GOOGLE|GEMINI|GCP|GCLOUD|AZURE|HF|HUGGINGFACE|HUGGING_FACE|DISCORD|DOCKER|DOCKERHUB|DATABASE|PG|POSTGRES|MYSQL"
    r"|MONGO|MONGODB|REDIS|VAULT|KUBE|TELEGRAM|TWILIO|SENDGRID|CLOUDFLARE|CF|VERCEL|NETLIFY|HEROKU|DIGITALOCEAN|DO|JIRA|ATLASSIAN|NOTION|LINEAR|SENTRY|DATADOG|CI_JOB|ACTIONS|SSH|TF)"
    r"_\w{0,30}?(?:TOKEN|KEY|SECRET|PASSWORD|PASS|PAT|CREDENTIALS)\b|\b(DATABASE|REDIS|MONGO|MONGODB|POSTGRES)_UR[LI]\b"
)
_OWNERS: Final = {
    "GH": "github", "AWS": "amazon", "CLAUDE": "anthropic", "NODE_AUTH": "npm", "TWINE": "pypi", "GEMINI": "google", "GCP": "google", "GCLOUD": "google", "AZURE": "microsoft",
    "HF": "hugging", "HUGGINGFACE": "hugging", "HUGGING_FACE": "hugging", "DOCKERHUB": "docker", "PG": "postgres", "CF": "cloudflare", "DO": "digitalocean", "JIRA": "atlassian", "CI_JOB": "gitlab", "ACTIONS": "github",
    "MONGODB": "mongo", "TF": "terraform",
}  # fmt: skip
_ENVIRONMENT: Final = re.compile(
    r"(?:process\.env|os\.environ|Deno\.env|ENV\b|%ENV|env::vars|os\.Environ|printenv|\benv\b)[\s\S]{0,160}?[\"'/(|_](?:KEY|TOKEN|SECRET|PASS(?:WORD)?|CRED\w*|API|AUTH)[\"'/)|,\s]{1,6}[\"']?_?(?:KEY|TOKEN|SECRET|PASS|CRED|AUTH)"
    r"|\b(?:KEY|TOKEN|SECRET|PASS|CRED|API|AUTH)\w{0,8}\|(?:KEY|TOKEN|SECRET|PASS|CRED|API|AUTH)\b[^\n]{0,100}?(?:%ENV|process\.env|os\.environ|\bENV\b)"
)
_EVERY: Final = re.compile(
    r"Object\.(?:entries|keys|fromEntries)|\.items\(\)|for\s+\w+(?:,\s*\w+)?\s+(?:in|of)|\.filter\(|\.select|grep|\.each|\.map\("
)
_FETCHED: Final = re.compile(
    r"(?:\b(?:curl|wget|aria2c|fetch|Invoke-WebRequest|iwr|download\w*|DownloadFile|urlretrieve|https?\.get|axios|got|requests\.get|urlopen)\b[^\n]{0,260}?(?:\s-\w{0,5}[oO]|--output|-OutFile|>|,)\s*[\"']?([$\w./{}()~-]{2,80})"
    r"|(?:createWriteStream|writeFile(?:Sync)?|copyFileSync)\(\s*([\w.]{1,40}))",
)
_BLIND: Final = re.compile(
    r"\b(?:(?:ba|z|da)?sh|eval|source|python3?|node)\s+(?:-\w+\s+)?[\"']?\$\(\s*(?:curl|wget)\b[^)\n]{0,80}\$"
)
"""What is downloaded from an address that stands nowhere."""
_FETCHES: Final = re.compile(r"\b(?:curl|wget|aria2c|iwr|fetch|axios|got|DownloadFile)\b|https?[.:]", re.IGNORECASE)
_RUNS: Final = (
    r"(?:(?:^|[\n;&|({{]\s{{0,20}})(?:\.|source|(?:ba|z|da)?sh|python3?|node|perl|ruby|exec|nohup|setsid|start|sudo|chmod\s+\S+|&)\s+(?:-\w+\s+)*[\"']?{0}|\b(?:require|import|import_module|dlopen|CDLL|LoadLibrary|spawn|spawnSync|exec|execSync|execFile|execFileSync|fork|Popen|run|call|check_call|check_output|system|startfile|run_path|Start-Process|chmod|chmodSync|_load)\(?\s*\[?\s*[\"'`]?{0}"
    r"|(?:^|[\n;&|]\s{{0,20}})[\"']?{0}[\"']?\s*(?:[\n;&|]|$|[-\"$])|\b{0}\.chmod\()"
)
_LOOKED_UP: Final = re.compile(
    r"\b(?:gethostbyname(?:_ex)?|getaddrinfo|resolve\w*|lookup|Resolve-DnsName|LookupHost|nslookup|dig|host|query)\b\s*\(?\s*(?:\+\w+\s+|-\w+\s+)*(?:f[\"'][^\"'\n]{0,60}\{|`[^`\n]{0,60}\$\{|[\"']?\$\{?\(?\w[^\n]{0,50}?\}?\.[\w$]|[\w.\[\]]{1,30}\s*\+\s*[\"']\.|[\"'][^\"'\n]{0,40}%s|join\s*\(?\s*[\"']\.)"
)
_HOST_MADE: Final = re.compile(
    r"\[\s*(?:[\"'][\w-]{1,30}[\"']\s*,\s*){1,6}[\"'][\w-]{1,30}[\"']\s*\](?:\.reverse\(\))?\.join\(\s*[\"']\.[\"']|[\"']\.[\"']\.join\(|\bhost\w*\.(?:reverse\(\)\.)?join\(|[\"'](?:https?|wss?)[\"']\s*\+\s*[\"']:|[\"']ht[\"']\s*\+\s*[\"']tps?|\.split\([\"'][|,_~^][\"']\)\.(?:reverse\(\)\.)?join\([\"'][./]"
)
_EVADES: Final = re.compile(
    r"cpus\(\)\.length\s*<|cpu_count\(\)\s*[<(]|totalmem\(\)\s*<|virtual_memory\(\)|/\.dockerenv|sys\.gettrace\(\)|TracerPid|IsDebuggerPresent|\b(?:vbox|vmware|virtualbox|qemu|hypervisor|kvm|sandbox|cuckoo|wireshark|analysis|honeypot|scanner)\b[^\n]{0,60}(?:hostname|username|userInfo|getuser|platform\.node)"
    r"|(?:hostname|getuser|username|userInfo|platform\.node|whoami)\b[^\n]{0,80}\b(?:vbox|vm|docker|sandbox|test|analysis|scan|runner|build|ci)\b|(?-i:\bSANDBOX\b)|not\s+os\.(?:environ\.get|getenv)\(\s*[\"']SANDBOX|!\s*process\.env\.SANDBOX\b|dmidecode|systemd-detect-virt|/sys/class/dmi",
    re.IGNORECASE,
)
_TAKES_HOME: Final = re.compile(
    r"(?:rmtree|rmSync|rm\s+-\w*[rf]|rimraf|unlink\w*|Remove-Item|os\.remove|RemoveAll|shred|del\s+/)[^\n]{0,120}(?:Documents|Desktop|Pictures|Photos|Backups?\b|\.git\b(?!ignore|hub|lab|/)|homedir\(\)|Path\.home\(\)\s*[,)/]|expanduser\([\"']~[\"']\))"
    r"|(?:Documents|Desktop|Pictures|Photos)[\"'][\s\S]{0,160}?(?:rmtree|rmSync|rm\s+-\w*[rf]|rimraf|unlink\w*|Remove-Item|os\.remove|RemoveAll|shred)"
)
_ENCODES: Final = re.compile(
    r"\bb64encode|\bhexlify|\.hex\(\)|\bbase64\s+-w|\bbase64\b(?!\s+-\w*d)[^\n]{0,12}<|toString\(\s*[\"'](?:base64|hex)|\bbtoa\(|\bxxd\s+-p|\|\s*base64\b(?!\s+-\w*d)|\bod\s+-A|gzip\s+-c|\brot13|encodeURIComponent\(\s*(?:JSON|data|secret|env|token)|urlsafe_b64encode|b32encode|\bunpack1?\s*\(?\s*[\"']H\*|\bbin2hex\(|\bhex\.EncodeToString|\bhex::encode"
)
_DECODED_RUN: Final = re.compile(
    r"\b(?:Script|runIn\w+|new Function|eval|exec|compile|_load|_compile|runpy|Invoke-Expression|IEX|iex)\b\)?\(?\s*[^\n]{0,100}(?:base64|atob\(|fromCharCode|b64decode|unhexlify|fromhex|decompress|rot.?13|marshal)",
)
_INDEX: Final = Beginnings(
    {
        "token": (_TOKEN,),
        "environment": (_ENVIRONMENT,),
        "fetched": (_FETCHED,),
        "blind": (_BLIND,),
        "looked up": (_LOOKED_UP,),
        "host made": (_HOST_MADE,),
        "evades": (_EVADES,),
        "takes home": (_TAKES_HOME,),
        "encodes": (_ENCODES,),
        "decoded run": (_DECODED_RUN,),
    }
)
_MOST_TARGETS: Final = 12


def moves(text: str, *, outgoing: bool, stranger: str) -> Iterator[Seen]:
    """``outgoing`` is whether something goes out of this file; ``stranger`` the first host that the text does not name."""
    yield from _tokens(text, outgoing=outgoing, stranger=stranger)
    if (found := _first(text, "environment")) and _EVERY.search(text, max(0, found.start() - 80), found.end() + 80):
        yield Seen(ENVIRONMENT, found.start(), found.end())
    if (stranger or "://" not in text) and _FETCHES.search(text) and (fetched := _fetched_run(text)):
        yield fetched
    for sign, name in (
        (LOOKED_UP, "looked up"),
        (HOST_MADE, "host made"),
        (TAKES_HOME, "takes home"),
        (EVADES, "evades"),
        (DECODED_RUN, "decoded run"),
    ):
        if found := _first(text, name):
            yield Seen(sign, found.start(), found.end())
    if outgoing and (found := _first(text, "encodes")):
        yield Seen(TRAVELS, found.start(), found.end())


def _first(text: str, name: str) -> re.Match[str] | None:
    return next(_INDEX.matches(text, name, 0, len(text)), None)


def _tokens(text: str, *, outgoing: bool, stranger: str) -> Iterator[Seen]:
    owners: dict[str, re.Match[str]] = {}
    for found in _INDEX.matches(text, "token", 0, len(text)):
        name = found[1] or found[2]
        owners.setdefault(_OWNERS.get(name, name.lower()), found)
    if len(owners) >= 3 and outgoing and (stranger or "://" not in text):
        first = next(iter(owners.values()))
        yield Seen(HOARD, first.start(), first.end())
    for owner, found in owners.items():
        if outgoing and stranger and owner[:6] not in stranger:
            yield Seen(FOREIGN_TOKEN, found.start(), found.end())
            return


def _fetched_run(text: str) -> Seen | None:
    """A file or variable that a download goes to, and that is started, sourced or loaded."""
    names: set[str] = set()
    for found in _INDEX.matches(text, "fetched", 0, len(text)):
        name = next(one for one in found.groups() if one)
        name = re.sub(r"/?\$\{?[1@*]\}?$", "", name.strip("\"'"))
        if len(name) > 1 and name not in {"/dev/null", "-", "out", "res", "f"}:
            names.add(name)
        if len(names) >= _MOST_TARGETS:
            break
    if "://" not in text and (blind := _first(text, "blind")):
        return Seen(FETCHED_RUN, blind.start(), blind.end())
    for name in sorted(names):
        for ran in re.finditer(_RUNS.format(re.escape(name)), text):
            return Seen(FETCHED_RUN, ran.start(), ran.end())
    return None
