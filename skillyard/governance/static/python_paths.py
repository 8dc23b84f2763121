"""What a path means: whose secrets lie there, what starts by itself from there, what an agent reads as its rules."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from skillyard.governance.static.python_values import UNKNOWN, Tag

_U: Final = re.escape(UNKNOWN)
_PRIVATE: Final = re.compile(
    r"\bid_(?:rsa|dsa|ecdsa|ed25519)\b(?!\.pub)|(?:^|[/\\~])\.ssh(?:[/\\](?!config\b|known_hosts|[\w*?.-]*\.pub\b|authorized_keys)|$)"
    r"|\.gnupg\b|secring\.gpg|/etc/shadow\b|\.(?:kdbx?|keychain(?:-db)?|jks|ppk)\b|login\.keychain|Library/Keychains"
    r"|\bLogin Data\b|\bWeb Data\b|\blogins\.json\b|\bkey[34]\.db\b|\bcookies\.sqlite\b|\bLocal State\b"
    r"|(?:Chrome|Chromium|Brave|Edge|Opera|Vivaldi|Firefox|Default|Profile[^/\\]{0,10}|Network)[/\\](?:[^/\\]{1,40}[/\\]){0,4}Cookies\b"
    r"|\bwallet\.dat\b|\.(?:electrum|exodus|ethereum|bitcoin|solana|monero|atomic)[/\\]|Exodus[/\\]exodus\.wallet"
    r"|(?:^|[/\\])keystore(?:[/\\]|$)|solana[/\\]id\.json|leveldb\b|MetaMask|nkbihfbeogaeaoehlefnkodbefgpgknn"
    r"|\.(?:bash|zsh|python|psql|mysql|node_repl|sh)_history\b|fish_history|ConsoleHost_history"
    r"|1[Pp]assword|Bitwarden|[Ll]ast[Pp]ass|KeePass|seed(?:_?phrase)?\.txt|\bmnemonic\.txt|tdata\b"
    r"|discord[/\\]Local Storage|Local Storage[/\\]leveldb",
)
_VENDOR: Final = re.compile(
    r"\.aws(?:[/\\](?:credentials|config|sso|cli)|[/\\]?$|[/\\]"
    + _U
    + r")|\.kube[/\\]?(?:config|"
    + _U
    + r"|$)|\.docker[/\\]config\.json"
    r"|\.netrc\b|_netrc\b|\.npmrc\b|\.pypirc\b|\.git-credentials\b|\.pgpass\b|\.my\.cnf\b|\.boto\b|\.s3cfg\b|\.vault-token\b"
    r"|gcloud[/\\](?:credentials|application_default|legacy|access_tokens|"
    + _U
    + r"|$)|application_default_credentials"
    r"|\.azure[/\\](?:accessTokens|msal|azureProfile|"
    + _U
    + r")|\.config[/\\]gh[/\\]hosts|\bgh[/\\]hosts\.yml|\.config[/\\]hub\b"
    r"|\.terraform\.d[/\\]credentials|\.cargo[/\\]credentials|\.gem[/\\]credentials|\.composer[/\\]auth|\.heroku|rclone\.conf"
    r"|\.claude[/\\]\.credentials|\.codex[/\\]auth|\.claude\.json|\.gemini[/\\]oauth|\.huggingface[/\\]token|huggingface[/\\]token"
    r"|serviceaccount[/\\]token|/run/secrets\b|\.ssh[/\\]config\b|\.ssh[/\\]known_hosts|/etc/passwd\b|/proc/"
    + _U
    + r"/environ|/proc/self/environ",
)
_GENERIC: Final = re.compile(
    r"(?:^|[/\\"
    + _U
    + r"])\.env(?:\.(?!example|sample|template|dist)[\w-]+)?\*?$|(?:^|[/\\])(?:credentials|secrets?)\.(?:json|ya?ml|toml|ini|txt)$"
    r"|\.(?:pem|pfx|p12)$|service[-_]?account[\w-]*\.json$|(?:^|[/\\])tokens?\.(?:json|txt)$",
    re.IGNORECASE,
)
_METADATA: Final = re.compile(
    r"169\.254\.169\.254|metadata\.google\.internal|100\.100\.100\.200|169\.254\.170\.2|fd00:ec2::254|//(?:2852039166|0xA9FEA9FE|0251\.0376\.0251\.0376|\[::ffff:(?:169\.254\.169\.254|a9fe:a9fe)\])\b|/computeMetadata/v1|/latest/meta-data/iam"
)
_STARTS: Final = (
    (
        "a shell's start-up file",
        re.compile(
            r"(?:^|~[/\\]|(?:home|Users)[/\\][^/\\]+[/\\]|root[/\\]|"
            + _U
            + r"[/\\]?|HOME[)}\"]?[/\\])\.(?:bashrc|bash_profile|bash_login|profile|zshrc|zprofile|zshenv|zlogin|bash_aliases|bash_logout|kshrc|cshrc)$|fish[/\\]config\.fish|/etc/(?:profile|bash\.bashrc|zsh/|profile\.d/)|Microsoft\.PowerShell_profile|WindowsPowerShell[/\\]profile"
        ),
    ),
    ("a scheduled job", re.compile(r"/etc/cron|/var/spool/cron|(?:^|/)crontabs?(?:/|$)|/etc/anacrontab")),
    (
        "a service that starts by itself",
        re.compile(r"systemd/(?:system|user)/|\.(?:service|timer)$|/etc/init\.d/|/etc/rc\.local|/etc/rc\d?\.d/"),
    ),
    (
        "a login item",
        re.compile(
            r"Launch(?:Agents|Daemons)(?:[/\\]|$)|/autostart/|Start Menu[/\\]Programs[/\\]Startup|\.config/autostart|CurrentVersion\\+Run"
        ),
    ),
    (
        "a Git hook",
        re.compile(
            r"(?:^|[/\\])(?:\.git|\.config/git|git-templates?)[/\\](?:templates[/\\])?hooks[/\\](?!.*\.sample$)|(?:^|[/\\"
            + _U
            + r"])hooks[/\\](?:pre|post|prepare|commit)-[a-z]+$"
        ),
    ),
)
_INTERPRETER: Final = re.compile(r"\.pth$|(?:^|[/\\" + _U + r"])(?:site|user)customize\.py$|/etc/ld\.so\.preload$")
_ACCESS: Final = re.compile(
    r"(?:^|[/\\" + _U + r"])authorized_keys2?$|/etc/sudoers|/etc/passwd$|/etc/shadow$|/etc/pam\.d/|/root/\.ssh"
)
_AGENT: Final = re.compile(
    r"(?:^|[/\\"
    + _U
    + r"])(?:CLAUDE|AGENTS?|GEMINI|SOUL|MEMORY|QWEN|HEARTBEAT|TOOLS|IDENTITY)(?:\.local)?\.md$|\.claude[/\\](?:settings|CLAUDE|commands|agents|hooks|skills|plugins)|\.claude\.json$"
    r"|claude_desktop_config\.json|(?:^|[/\\])\.?mcp(?:_config|_settings)?\.json$|\.cursorrules$|\.cursor[/\\](?:mcp|rules)|\.windsurf(?:rules|[/\\])|\.clinerules|cline_mcp_settings"
    r"|copilot-instructions\.md|\.github[/\\]instructions|\.codex[/\\]|\.gemini[/\\](?:settings|GEMINI)|\.continue[/\\]config|\.openclaw[/\\]|\.aider\.conf"
    r"|\.config[/\\]opencode|\.vscode[/\\](?:settings|tasks|mcp)\.json|\.roo[/\\]|\.kiro[/\\]",
)
_HOME: Final = re.compile(
    r"^(?:~|/|/\*|/(?:home|Users|root|etc|usr|var|bin|sbin|lib|boot|opt|srv|mnt|media)|[A-Za-z]:[/\\]*(?:Users|Windows)?|\$HOME|%USERPROFILE%|%SystemDrive%\\?)[/\\]*(?:\*+|\.\*)?$"
    r"|^~[/\\](?:Documents|Desktop|Pictures|Downloads|Music|Videos|Library|Projects|src|code|workspace)[/\\]*\*{0,2}$"
    r"|[/\\](?:home|Users)[/\\]*\*{0,2}$|^/dev/(?:sd|nvme|hd|disk|mmcblk|vd)|^\\\\\.\\PhysicalDrive|(?:^|/)(?:var/)?backups[/\\]*\*{0,2}$",
)


@lru_cache(maxsize=2048)
def secrets_at(path: str) -> frozenset[Tag]:
    """What kinds of secrets lie at a path, or below it."""
    tags = set()
    if _PRIVATE.search(path):
        tags.add(Tag.PRIVATE)
    if _VENDOR.search(path):
        tags.add(Tag.VENDOR)
    if _GENERIC.search(path):
        tags.add(Tag.GENERIC)
    return frozenset(tags)


@lru_cache(maxsize=2048)
def is_metadata_service(address: str) -> bool:
    return _METADATA.search(address) is not None


@lru_cache(maxsize=2048)
def started_from(path: str) -> str | None:
    """What starts by itself from a path, in words."""
    return next((what for what, pattern in _STARTS if pattern.search(path)), None)


@lru_cache(maxsize=2048)
def is_interpreter_hook(path: str) -> bool:
    """Whether every later start of an interpreter or program loads what lies there."""
    return _INTERPRETER.search(path) is not None


@lru_cache(maxsize=2048)
def grants_access(path: str) -> bool:
    return _ACCESS.search(path) is not None


@lru_cache(maxsize=2048)
def is_agent_configuration(path: str) -> bool:
    return _AGENT.search(path) is not None


@lru_cache(maxsize=2048)
def belongs_to_person(path: str) -> bool:
    """Whether a path is a home folder, a disk or the system as a whole."""
    return _HOME.search(path) is not None
