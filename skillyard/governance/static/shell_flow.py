"""Secrets that commands read and send: on one line, by a variable, or by a file that was packed before.

Lines are followed in order. A line that names a secret and writes into a variable or file makes that name a secret,
too. Whatever sends a secret to another machine is a leak; reading alone is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skillyard.governance.report import Confidence
from skillyard.governance.static.urls import Host, urls

FILES_OF_SECRETS: Final = (  # names of files, and no secret
    r"\.aws/(?:credentials|config|sso)|\.ssh\b(?!/(?:config|known_hosts)\b)(?:/(?:id_\w+|\*|[\w.-]+))?|\bid_(?:rsa|ed25519|ecdsa|dsa)\b"
    r"|\.kube/config|\.netrc\b|\.npmrc\b|\.pypirc\b|\.git-credentials|\.docker/config\.json|\.gnupg\b|gh/hosts\.yml|\.pgpass\b"
    r"|gcloud/(?:application_default_credentials|credentials|legacy_credentials|access_tokens)|\.azure/\w+|/etc/(?:shadow|passwd)\b|/etc/ssh/ssh_host"
    r"|Login\\? Data|Local State|Cookies(?:\.sqlite|\.binarycookies)?\b(?=[\"'\s\\])|logins\.json|key[34]\.db|wallet\.dat|\.bitcoin\b|\.ethereum\b|\.electrum\b"
    r"|solana/id\.json|MetaMask|nkbihfbeogaeaoehlefnkodbefgpgknn|\.kdbx\b|Keychains?/|\.(?:bash|zsh|python|mysql|psql)_history\b"
    r"|/proc/(?:self|\d+|\*|\$\w+)/environ|\.claude(?:\.json|/\.credentials)|\.clawdbot\b|\.openclaw\b|\.codex/auth|\.config/op\b|secrets?\.(?:json|ya?ml|env)\b"
    r"|(?<![\w-])\.env(?:\.(?:local|production|prod|staging))?(?![\w.-])|\.vault-token|\.terraform\.d/credentials|rclone\.conf"
)
_SECRET: Final = re.compile(
    rf"(?:{FILES_OF_SECRETS})(?!\.pub)"
    r"|security\s+(?:find-(?:generic|internet)-password|dump-keychain|export)|\bsecretsmanager\s+get-secret-value|\bget-clipboard\b|\bpbpaste\b"
    r"|\bxclip\s+-o|\bcmdkey\s+/list|gh\s+auth\s+token|git\s+credential\s+fill|git\s+config\s+(?:--\w+\s+)*--get-regexp\s+[^\n]{0,60}(?:credential|url)|kubectl\s+get\s+secrets?\b|\bvault\s+kv\s+get|(?:^|[|;&(`\n]\s*|\$\(\s*)(?:env|printenv|set|export\s+-p|history(?:\s+\d+)?)\s*(?=[|;&)>`\n]|$)"
    r"|Get-ChildItem\s+env:|\bgci\s+env:|\bdir\s+env:|\[Environment\]::GetEnvironmentVariables",
    re.IGNORECASE,
)
_PUBLIC: Final = re.compile(r"\.pub\b|\.env\.example|\.env\.sample|\.env\.template")
_SENDS: Final = re.compile(
    r"\b(?:curl|wget|http|xh|httpie)\b[^\n]{0,600}?(?:\s-d\b|--data(?:-\w+)?\b|\s-F\b|--form(?:-string)?\b|\s-T\b|--upload-file|--post-(?:data|file)|--body-(?:data|file)"
    r"|-X\s*(?:POST|PUT)|--json\b|\$\(|`|\?[\w=&]*\$|@-)"
    r"|\b(?:invoke-webrequest|invoke-restmethod|iwr|irm)\b[^\n]{0,300}-(?:body|infile|method\s+p)"
    r"|\b(?:nc|ncat|netcat|telnet)\s+(?:-\S+\s+)*[\w.$-]{3,100}\s+\d{2,5}\b|>\s*/dev/(?:tcp|udp)/|\bopenssl\s+s_client\b"
    r"|\b(?:mail|mailx|sendmail|mutt)\s[^\n]{0,200}@|\bscp\s[^\n]{0,300}\w+@?[\w.-]+:|\brsync\s[^\n]{0,300}\s[\w.@-]+::?\S*|\bsftp\s|\bftp\s|\btftp\s"
    r"|\b(?:dig|nslookup|host|drill)\s[^\n]{0,200}\$|\baws\s+s3\s+(?:cp|sync|mv)\s[^\n]{0,200}s3://|\bgsutil\s+cp\s|\brclone\s+copy\s|\bgh\s+gist\s+create",
    re.IGNORECASE,
)
_SENDERS: Final = ("curl", "wget", "http ", "xh ", "httpie", "invoke-", "iwr", "irm", "nc ", "ncat", "netcat", "telnet", "/dev/tcp", "/dev/udp", "s_client", "mail", "mutt",
    "scp ", "rsync", "ftp ", "dig ", "nslookup", "host ", "drill", "aws s3", "gsutil", "rclone", "gist create")  # fmt: skip
_NAMED: Final = (".aws", ".ssh", "id_", ".kube", ".netrc", ".npmrc", ".pypirc", ".git-c", ".docker", ".gnupg", "hosts.yml", ".pgpass", "gcloud", ".azure", "/etc/", "login", "local state",
    "cookies", "logins.json", ".db", "wallet", ".bitcoin", ".ethereum", ".electrum", "solana", "metamask", "nkbi", ".kdbx", "keychain", "_history", "environ", ".claude", ".clawdbot",
    ".openclaw", ".codex", ".config/op", "secret", ".env", ".vault", ".terraform", "rclone.conf", "security ", "clipboard", "pbpaste", "xclip", "cmdkey", "auth token", "vault kv",
    "env", "set", "export -p", "history", "whoami", "hostname", "$(id", "`id", "uname", "$user", "${user", "kv get", "password", "credential")  # fmt: skip
_AUTHENTICATES: Final = re.compile(
    r"(?<![\w-])(?:-H|--header|-u|--user|--oauth2-bearer|--cert|--key|--netrc-file|-i|--env-file|--kubeconfig)(?:[ =]+|(?=[\"']))(?:\"[^\"\n]{0,400}\"|'[^'\n]{0,400}'|\S{1,300})"
    r"|-e\s+[\"']ssh[^\"'\n]{0,200}[\"']",
)
_TAKES: Final = re.compile(
    r"(?:^|[\s;&|(])(?:export\s+|local\s+|\$)?([A-Za-z_]\w{0,40})\s*\+?=\s*(?=[\"']?(?:\$\(|`|\$)|\(?get-|@?\()",
    re.IGNORECASE,
)
_READ_LOOP: Final = re.compile(
    r"\bread\s+(?:-\w+\s+)*(?:\w+\s+)*([A-Za-z_]\w{0,40})|\bfor\s+([A-Za-z_]\w{0,40})\s+in\b"
)
_WRITES: Final = re.compile(
    r">>?\s*[\"']?([\w./~${}-]{3,120})|\btar\s+-?\w*c\w*f?\s+[\"']?([\w./~${}-]{3,120})|\bzip\s+(?:-\S+\s+)*[\"']?([\w./~${}-]{3,120})"
    r"|\b(?:cp|mv)\s+[^\n]*\s[\"']?([\w./~${}-]{3,120})[\"']?\s*$|\s-?-o(?:ut)?[ =]?[\"']?([\w./~${}-]{3,120})|\btee\s+(?:-a\s+)?[\"']?([\w./~${}-]{3,120})",
)
_HOST_FACTS: Final = re.compile(
    r"\$\((?:whoami|hostname|id|uname)\b|`(?:whoami|hostname|id|uname)|\$\{?(?:USER|HOSTNAME)\b"
)
_FUNCTION: Final = re.compile(r"\s*(?:function\s+)?([A-Za-z_]\w{0,40})\s*\(\)\s*\{?")
_MOST_LINES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Leak:
    rule: str
    start: int
    end: int
    confidence: Confidence
    detail: str = ""


def leaks(text: str) -> Iterator[Leak]:
    """Where secrets are sent."""
    lowered = text.lower()
    if not any(word in lowered for word in _SENDERS):
        return
    named = [name for name in _NAMED if name in lowered]
    tainted: dict[str, str] = {}
    function = ""
    at = 0
    for line in text.split("\n")[:_MOST_LINES]:
        start, at = at, at + len(line) + 1
        if len(line) < 4 or len(line) > 8000 or not (tainted or _has(line.lower(), named)):
            continue
        if defined := _FUNCTION.match(line):
            function = f"{defined[1]}()"
        before = len(tainted)
        yield from _line(line, start, tainted)
        if function and (len(tainted) > before or _SECRET.search(line)) and not _SENDS.search(line):
            tainted.setdefault(function, f"by {function}")
        if line.rstrip().endswith("}"):
            function = ""


def _has(lowered: str, named: list[str]) -> bool:
    return any(name in lowered for name in named)


def _line(line: str, start: int, tainted: dict[str, str]) -> Iterator[Leak]:
    found = _SECRET.search(line)
    carried = next((name for name in tainted if _names(line, name)), None)
    if not (found or carried or _HOST_FACTS.search(line)):
        return
    bare = _AUTHENTICATES.sub(lambda found: " " * len(found[0]), line)
    found = None if _PUBLIC.search(bare) else _SECRET.search(bare)
    carried = next((name for name in tainted if _names(bare, name)), None)
    what = found[0].strip(" |;&($`") if found else tainted.get(carried or "", "")
    sends = _SENDS.search(bare)
    if sends and (found or carried) and _goes_out(line, what):
        yield Leak("credential_theft", start, start + len(line), Confidence.HIGH, f"({what[:60]})" if what else "")
    elif sends and _HOST_FACTS.search(bare) and _goes_out(line, "") and re.search(r"\bcurl\b|\bwget\b", bare):
        yield Leak("host_beacon", start, start + len(line), Confidence.MEDIUM)
    if found or carried:
        for pattern in (_TAKES, _READ_LOOP, _WRITES):
            for taken in pattern.finditer(bare):
                name = next((one for one in taken.groups() if one), "")
                if name and not name.startswith("/dev/"):
                    tainted[name] = what


def _names(line: str, name: str) -> bool:
    if name.endswith("()"):
        return bool(re.search(rf"(?:^|[\s;|&(`]){name[:-2]}(?![\w(])", line))
    if re.fullmatch(r"[A-Za-z_]\w*", name):
        return bool(re.search(rf"\$\{{?{name}\b", line))
    return name in line


def _goes_out(line: str, what: str) -> bool:
    """Not to this machine; and a project's own settings may be copied to its own server."""
    named = list(urls(line))
    if named and all(url.kind is Host.PRIVATE for url in named):
        return False
    copied = re.search(r"\b(?:scp|rsync|sftp|rclone|gsutil|aws)\b", line)
    return not (copied and (re.search(r"\.env\b|secrets?\.|/etc/passwd", what) or not what))
