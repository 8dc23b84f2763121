"""The rules about Python code."""

from __future__ import annotations

from typing import Final

from skillyard.governance.report import Severity, Verdict
from skillyard.governance.static.rule import Rule

UNPARSABLE: Final = Rule(
    "python_does_not_parse",
    "a Python file is not valid Python",
    Severity.LOW,
    Verdict.FLAG,
    "Only the parts that parse were analysed; what does not run here may run elsewhere, or hide something.",
    "Fix the syntax, or remove the file.",
)
DECODED_EXECUTED: Final = Rule(
    "python_decoded_code",
    "encoded text is decoded and executed",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "Code is encoded so that nobody reads it before it runs; honest code has no need for that.",
    "Ship the code as source.",
)
DOWNLOADED_EXECUTED: Final = Rule(
    "python_downloaded_code",
    "what is downloaded is executed",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "Whoever controls the address decides what runs, today and at any later time; nothing of it was reviewed.",
    "Ship the code with the skill, or declare a package, which is locked by its hash.",
)
DATA_EXECUTED: Final = Rule(
    "python_data_executed",
    "a data file of the skill is executed as code",
    Severity.HIGH,
    Verdict.BLOCK,
    "Code that lies in a file of data is missed by reviewers and by tools that look at source files.",
    "Put the code into a module and import it.",
)
HIDDEN_CALL: Final = Rule(
    "python_hidden_call",
    "a function that runs code is called by an assembled name",
    Severity.HIGH,
    Verdict.BLOCK,
    "The name is put together from pieces so that a search for it finds nothing.",
    "Call the function by its name.",
)
SECRETS_SENT: Final = Rule(
    "python_secrets_sent",
    "credentials are read and sent",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "Keys, tokens or private data of whoever runs the skill go to somebody else.",
    "Do not read other tools' credentials; let the person pass what the skill needs.",
)
ENVIRONMENT_SENT: Final = Rule(
    "python_environment_sent",
    "the environment's variables are collected and sent",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "The environment holds the tokens of everything else that runs there.",
    "Read the variables that are needed by their names, and send none of them to third parties.",
)
CREDENTIAL_USED: Final = Rule(
    "python_credentials_used",
    "credentials that another tool keeps are read and used",
    Severity.MEDIUM,
    Verdict.FLAG,
    "The skill acts in the person's name with what another tool was given.",
    "Say so in SKILL.md, and let the person pass a token that is meant for the skill.",
)
WATCHED_SENT: Final = Rule(
    "python_watching_sent",
    "what the person copies, types or sees is sent",
    Severity.HIGH,
    Verdict.BLOCK,
    "The clipboard, the keyboard and the screen carry passwords and private messages.",
    "Remove it, or send only what the person chose in that moment.",
)
REVERSE_SHELL: Final = Rule(
    "python_remote_shell",
    "somebody at the other end of a connection gets a shell",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "Whoever answers the connection can do anything that the person can.",
    "Remove it.",
)
STARTS_BY_ITSELF: Final = Rule(
    "python_starts_by_itself",
    "something is arranged to start by itself later",
    Severity.MEDIUM,
    Verdict.FLAG,
    "What is started by the system, a shell or Git goes on running when the skill is gone.",
    "Say in SKILL.md what is installed where, ask first, and offer to remove it.",
)
STARTS_UNASKED: Final = Rule(
    "python_starts_unasked",
    "something is arranged to start by itself, and the skill's text does not say so",
    Severity.HIGH,
    Verdict.BLOCK,
    "A skill that quietly makes itself permanent is what malware does; the documentation does not mention it.",
    "Say in SKILL.md what is installed where, ask first, and offer to remove it.",
)
INTERPRETER_HOOK: Final = Rule(
    "python_interpreter_hook",
    "code is put where every later program loads it",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "A .pth file, sitecustomize or preloaded library runs in every program that starts after it.",
    "Remove it; a skill has no need to change other programs.",
)
ACCESS_GRANTED: Final = Rule(
    "python_access_granted",
    "who may log in or become an administrator is changed",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "A key or a rule added there lets somebody in later, without the skill.",
    "Leave accounts and keys to the person.",
)
AGENT_CHANGED: Final = Rule(
    "python_agent_configuration",
    "the configuration or memory of an agent is written",
    Severity.MEDIUM,
    Verdict.FLAG,
    "What stands there steers every later session of the agent, with or without this skill.",
    "Show the change to the person and let them make it.",
)
AGENT_CHANGED_UNASKED: Final = Rule(
    "python_agent_configuration_unasked",
    "the configuration or memory of an agent is written, and the skill's text does not say so",
    Severity.HIGH,
    Verdict.BLOCK,
    "What stands there steers every later session of the agent; nobody who reads the skill would expect it.",
    "Say so in SKILL.md, show the change to the person and let them make it.",
)
DESTRUCTION: Final = Rule(
    "python_destruction",
    "files of the person are deleted or overwritten wholesale",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "A home folder, a disk or a backup is removed, which nobody can undo.",
    "Delete only what the skill made, or what the person named.",
)
RANSOM: Final = Rule(
    "python_ransom",
    "files are scrambled and money is asked for",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "That is extortion.",
    "Remove it.",
)
TAMPERING: Final = Rule(
    "python_tampering",
    "files are changed at random, and made to look unchanged",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "Data of the person is falsified; the old times are put back so that nobody sees it.",
    "Remove it.",
)
INTERCEPTION: Final = Rule(
    "python_interception",
    "a function of another library is replaced to see what passes through it",
    Severity.HIGH,
    Verdict.FLAG,
    "Whatever other code sends, types or signs can be read or changed in between.",
    "Use the library's own hooks, in the skill's own objects only.",
)
INSTALL_HOOK: Final = Rule(
    "python_install_hook",
    "code that runs when the package is installed uses the network or starts programs",
    Severity.HIGH,
    Verdict.FLAG,
    "Installing runs it before anybody has decided to use the skill.",
    "Move it to where it is used; installing should copy files only.",
)
UNSAFE_LOADING: Final = Rule(
    "python_unsafe_loading",
    "data from the network is loaded in a form that can run code",
    Severity.HIGH,
    Verdict.FLAG,
    "pickle, marshal and the like call whatever the data names.",
    "Use JSON or another format that holds data only.",
)
INSTALLS_FROM_URL: Final = Rule(
    "python_installs_from_address",
    "a package is installed from an address",
    Severity.HIGH,
    Verdict.FLAG,
    "What lies at the address can change at any time, and is checked against nothing.",
    "Declare the package, so that it is locked by its hash.",
)
INSTALLS_FROM_NOWHERE: Final = Rule(
    "python_installs_from_nameless_address",
    "a package is installed from an address that nobody stands for",
    Severity.CRITICAL,
    Verdict.BLOCK,
    "A bare IP address, a paste site or plain http: whoever answers there decides what runs.",
    "Declare the package, so that it is locked by its hash.",
)
CLOUD_CREDENTIALS: Final = Rule(
    "python_cloud_credentials",
    "a cloud machine's own credentials are asked for",
    Severity.HIGH,
    Verdict.FLAG,
    "The metadata service hands out keys of the machine's role to any program that asks.",
    "Use the cloud's library, which asks for what it needs itself.",
)
CLIPBOARD_CHANGED: Final = Rule(
    id="python_clipboard_changed",
    title="addresses of wallets that are copied are replaced",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="The person pastes another address than the one they copied, and the money goes there.",
    fix="Remove it.",
)
MACHINE_CODE: Final = Rule(
    id="python_machine_code",
    title="machine code is written into memory and started",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="Code that exists in memory only was read by nobody, and is how programs get past every check of files.",
    fix="Declare the package that provides the native code.",
)
HOST_MOUNTED: Final = Rule(
    id="python_host_mounted",
    title="a container is given the whole machine",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="A privileged container with the root folder of the machine is the machine, with all rights.",
    fix="Mount the folder that is needed, without privileges.",
)
MINING: Final = Rule(
    "mines_currency",
    "computes crypto-currency for somebody",
    Severity.HIGH,
    Verdict.BLOCK,
    "It uses the machine of whoever runs the skill for somebody else's gain.",
    "Remove it.",
)
RULES: Final = (
    UNPARSABLE,
    DECODED_EXECUTED,
    DOWNLOADED_EXECUTED,
    DATA_EXECUTED,
    HIDDEN_CALL,
    SECRETS_SENT,
    ENVIRONMENT_SENT,
    CREDENTIAL_USED,
    WATCHED_SENT,
    REVERSE_SHELL,
    STARTS_BY_ITSELF,
    STARTS_UNASKED,
    INTERPRETER_HOOK,
    ACCESS_GRANTED,
    AGENT_CHANGED,
    AGENT_CHANGED_UNASKED,
    DESTRUCTION,
    RANSOM,
    TAMPERING,
    INTERCEPTION,
    INSTALL_HOOK,
    UNSAFE_LOADING,
    INSTALLS_FROM_URL,
    INSTALLS_FROM_NOWHERE,
    CLOUD_CREDENTIALS,
    MINING,
    CLIPBOARD_CHANGED,
    MACHINE_CODE,
    HOST_MOUNTED,
)
