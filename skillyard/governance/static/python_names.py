"""What functions of the standard library and of well-known packages do, by their dotted names.

``()`` in a name stands for an object that the function before it made: ``requests.Session().post``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from skillyard.governance.static.python_values import Tag

NETWORK_MODULES: Final = frozenset(
    """
    requests httpx urllib urllib2 urllib3 httplib http aiohttp socket websocket websockets smtplib ftplib telnetlib
    paramiko pysftp pycurl dns dnspython discord discord_webhook telegram telebot slack_sdk slack paho grpc boto3 botocore
    google.cloud azure asyncssh fabric tweepy openai anthropic curl_cffi cloudscraper tls_client xmlrpc imaplib poplib
    nntplib ssl asyncio.open_connection mechanize selenium playwright scrapy feedparser gspread pymongo redis
    psycopg2 psycopg pymysql kafka pika zmq
""".split()
)
_SENDING_ROOTS: Final = frozenset(
    """
    requests httpx urllib urllib2 urllib3 httplib http aiohttp websocket websockets smtplib ftplib telnetlib pysftp
    pycurl discord discord_webhook telegram telebot slack_sdk slack paho xmlrpc curl_cffi cloudscraper tls_client
    socket dns
""".split()
)
_SENDING: Final = frozenset(
    """
    get post put patch delete head options request send sendall sendto sendmail send_message urlopen urlretrieve
    Request storbinary storlines upload upload_file publish chat_postMessage files_upload putheader putrequest endheaders
    gethostbyname gethostbyname_ex getaddrinfo resolve query sendMessage send_document sendDocument execute write
    request_encode_body urlopen_with_retry open build_opener fetch stream connect ws_connect POST GET perform setopt
    download_file send_bytes send_str send_json send_text ServerProxy Webhook DiscordWebhook
""".split()
)
_SENDING_ANYWHERE: Final = frozenset(
    {"post", "put", "patch", "sendall", "sendto", "sendmail", "send_message", "urlopen"}
)
_STORAGE: Final = re.compile(
    r"^(?:boto3|botocore|google\.cloud|azure|paramiko|asyncssh|fabric|minio|dropbox|pydrive2?)\b.*\."
    r"(?:put_object|upload_file|upload_fileobj|upload_blob|upload_from_filename|upload_from_string|put|putfo|put_file)$"
)
_RECEIVING: Final = re.compile(
    r"^(?:requests|httpx|curl_cffi\.requests|cloudscraper)(?:\.\w+\(\))?\.(?:get|post|put|patch|request|head|options|stream|send|delete)$"
    r"|^urllib2?\.(?:request\.)?(?:urlopen|urlretrieve|URLopener\(\)\.\w+|build_opener\(\)\.open)$|^urllib3\..*\.(?:request|urlopen)$|^urllib3\.request$"
    r"|^http(?:lib|\.client)\.\w+\(\)\.getresponse$|^aiohttp\..*\.(?:get|post|request)$|^socket\.(?:socket|create_connection|fromfd)\(\)\.(?:recv|recvfrom|recv_into|makefile)$"
    r"|^(?:websockets?|websocket)\..*\.(?:recv|receive)$|^ftplib\.\w+\(\)\.retr\w+$|^dns\.resolver\.(?:resolve|query)$|^paramiko\..*\.(?:recv|get|getfo|exec_command)$"
    r"|^xmlrpc\.client\.ServerProxy\(\)\..*|^imaplib\..*\.fetch$|^telnetlib\..*\.read\w*$|^ssl\..*\.recv$|^pastebin\b.*|^wget\.download$|^gdown\.download$"
    r"|^asyncio\.open_connection\(\).*\.read\w*$|^feedparser\.parse$"
    r"|^asyncio\.open_(?:unix_)?connection$|^socket\.socket\(\)\.accept$|^socket\.create_server\(\)\.accept$"
)
_DECODING: Final = re.compile(
    r"^base64\.\w*decode\w*$|^binascii\.(?:a2b_\w+|unhexlify)$|^(?:zlib|gzip|bz2|lzma|brotli|zstandard|zstd)\.decompress$|^(?:bytes|bytearray)\.fromhex$"
    r"|^builtins\.(?:bytes|bytearray)\.fromhex$|^codecs\.(?:decode|getdecoder\(\).*)$|^cryptography\.fernet\.Fernet\(\)\.decrypt$|^Crypto\..*\.decrypt$"
    r"|^(?:zlib|bz2|lzma)\.\w+\(\)\.decompress$|^gzip\.GzipFile\(\)\.read$|^quopri\.decodestring$|^uu\.decode$|^base58\.b58decode$"
)
_SYSTEM_COMMANDS: Final = re.compile(
    r"^os\.(?:system|popen|popen2|popen3|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|startfile)$|^subprocess\.(?:run|call|check_call|check_output|Popen|getoutput|getstatusoutput)$"
    r"|^(?:pty\.spawn|commands\.get(?:status)?output|popen2\.popen\d|asyncio\.create_subprocess_(?:exec|shell)|pexpect\.(?:spawn|run)|sh\.\w+|plumbum\..*"
    r"|_posixsubprocess\.fork_exec|posix\.system|nt\.system|invoke\.run|delegator\.run|win32api\.(?:ShellExecute|WinExec)|webbrowser\.open)$"
)
EVALUATING: Final = frozenset(
    {
        "builtins.exec",
        "builtins.eval",
        "builtins.execfile",
        "code.InteractiveInterpreter().runcode",
        "code.InteractiveInterpreter().runsource",
    }
)
LOADING: Final = re.compile(
    r"^(?:c?[pP]ickle|dill|cloudpickle|joblib|shelve|jsonpickle)\.(?:loads?|decode|open|Unpickler\(\)\.load)$|^marshal\.loads?$|^torch\.load$|^yaml\.(?:load|unsafe_load|full_load)$|^numpy\.load$"
)
IMPORTING: Final = frozenset(
    {
        "importlib.import_module",
        "builtins.__import__",
        "runpy.run_path",
        "runpy.run_module",
        "importlib.util.spec_from_file_location",
        "imp.load_source",
        "importlib.machinery.SourceFileLoader",
        "ctypes.CDLL",
        "ctypes.cdll.LoadLibrary",
        "ctypes.WinDLL",
        "zipimport.zipimporter",
    }
)
_SOURCES: Final = (
    (
        re.compile(
            r"^pyperclip\.paste$|\.clipboard_get$|^win32clipboard\.GetClipboardData$|^clipboard\.paste$|^xerox\.paste$|^pandas\.read_clipboard$"
        ),
        Tag.CLIPBOARD,
    ),
    (
        re.compile(r"^(?:keyboard\.(?:record|read_event|read_key|get_typed_strings)|pynput\.keyboard\.\w+)"),
        Tag.KEYSTROKES,
    ),
    (
        re.compile(
            r"^(?:PIL\.)?ImageGrab\.grab|^pyautogui\.screenshot|^pyscreenshot\.grab|^mss\.mss\(\)\.(?:grab|shot|save)"
        ),
        Tag.SCREEN,
    ),
    (
        re.compile(
            r"^browser_?cookie3\.\w+|^keyring\.get_(?:password|credential)|^win32crypt\.CryptUnprotectData|^secretstorage\.\w+|^pycookiecheat\.\w+"
        ),
        Tag.PRIVATE,
    ),
    (
        re.compile(
            r"^boto(?:3|core)\..*get_(?:frozen_)?credentials|^google\.auth\.default|^azure\.identity\..*get_token"
        ),
        Tag.VENDOR,
    ),
    (
        re.compile(
            r"^sys\.(?:argv|stdin)|^builtins\.(?:input|raw_input)$|^argparse\.ArgumentParser\(\)\.parse_\w+|^fileinput\.input|^getpass\.getpass$"
        ),
        Tag.USER,
    ),
    (
        re.compile(
            r"^flask\.request\b|^(?:fastapi|starlette)\.Request\b|^bottle\.request\b|^aiohttp\.web\.Request\b|^cgi\.FieldStorage"
        ),
        Tag.REQUEST,
    ),
)
SECRET_VARIABLE: Final = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|_PAT$|_KEY$|MNEMONIC|DATABASE_URL|SEED"
)
SECRET_COMMAND: Final = re.compile(
    r"^\s*(?:sudo\s+)?(?:security\s+(?:find|dump)-|(?:gcloud|gh|az|vault)\s+auth\s+(?:\S+\s+)?(?:print|token)|aws\s+configure\s+(?:get|export)|printenv\s*$|env\s*$|set\s*$"
    r"|az\s+account\s+get-access-token|gpg\s+--export-secret|secret-tool\s+lookup|pass\s+show|op\s+(?:read|item\s+get)|cmdkey\s+/list|netsh\s+wlan\s+show\s+profile\S*\s.*key=clear)"
)


@lru_cache(maxsize=4096)
def is_sending(symbol: str) -> bool:
    """Whether what is given to the function leaves the machine."""
    root = symbol.partition(".")[0].partition("(")[0]
    return symbol.rpartition(".")[2] in _SENDING and root in _SENDING_ROOTS


def is_sending_method(name: str) -> bool:
    """The same of a method of an object that nothing is known about."""
    return name in _SENDING_ANYWHERE


@lru_cache(maxsize=4096)
def is_storage(symbol: str) -> bool:
    return _STORAGE.search(symbol) is not None


@lru_cache(maxsize=4096)
def is_receiving(symbol: str) -> bool:
    return _RECEIVING.search(symbol) is not None


@lru_cache(maxsize=4096)
def is_decoding(symbol: str) -> bool:
    return _DECODING.search(symbol) is not None


@lru_cache(maxsize=4096)
def is_command(symbol: str) -> bool:
    return _SYSTEM_COMMANDS.search(symbol) is not None


@lru_cache(maxsize=4096)
def source_of(symbol: str) -> Tag | None:
    return next((tag for pattern, tag in _SOURCES if pattern.search(symbol)), None)


def is_network(module: str) -> bool:
    parts = module.split(".")
    return parts[0] in NETWORK_MODULES or ".".join(parts[:2]) in NETWORK_MODULES


@lru_cache(maxsize=4096)
def is_loading(symbol: str) -> bool:
    return LOADING.search(symbol) is not None
