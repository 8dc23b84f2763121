"""The rules of what JavaScript and TypeScript do."""

from __future__ import annotations

from typing import Final

from skillyard.governance.report import Severity, Verdict
from skillyard.governance.static.rule import Rule

_BLOCK, _FLAG = Verdict.BLOCK, Verdict.FLAG

_ALL: Final = (
    Rule(
        "js_decoded_code", "JavaScript decodes something and runs it", Severity.CRITICAL, _BLOCK,
        "Encoding hides from a reviewer what is run.",
        "Write the code out.",
    ),
    Rule(
        "js_downloaded_code", "JavaScript runs what it has downloaded", Severity.CRITICAL, _BLOCK,
        "Whoever controls the address decides what runs here, today and after every review.",
        "Ship the code with the skill or declare a package.",
    ),
    Rule(
        "js_remote_code", "JavaScript loads code from an address", Severity.MEDIUM, _FLAG,
        "What the address serves runs unread, and may be something else tomorrow.",
        "Declare a package, or ship the file.",
    ),
    Rule(
        "js_obfuscation", "JavaScript is written so that nobody can read it", Severity.HIGH, _FLAG,
        "Nobody can review it. Minified libraries look otherwise.",
        "Ship the readable source.",
    ),
    Rule(
        "js_obfuscated_script", "a script of the skill is obfuscated", Severity.CRITICAL, _BLOCK,
        "An author who wants to be reviewed does not hide what the script does.",
        "Ship the readable source.",
    ),
    Rule(
        "js_secret_theft", "JavaScript reads secrets and sends something", Severity.CRITICAL, _BLOCK,
        "Keys, tokens, browser data or the whole environment leave this machine.",
        "Read the one setting that is needed, and send it only to the service that it belongs to.",
    ),
    Rule(
        "js_reads_secrets", "JavaScript reads files that hold secrets", Severity.MEDIUM, _FLAG,
        "What was read may end in answers, files and requests.",
        "Ask the person for the one value that is needed.",
    ),
    Rule(
        "js_wallet_swap", "JavaScript replaces the address that is paid", Severity.CRITICAL, _BLOCK,
        "The money goes to whoever wrote the address here.",
        "Remove it.",
    ),
    Rule(
        "js_input_capture", "JavaScript sends what is typed, copied, or stored in the browser", Severity.HIGH, _BLOCK,
        "Passwords and sessions leave with it.",
        "Remove it.",
    ),
    Rule(
        "js_command_channel", "JavaScript runs commands that come from outside", Severity.CRITICAL, _BLOCK,
        "Whoever holds the other end can do what the person at this machine can.",
        "Remove it. No skill needs it.",
    ),
    Rule(
        "js_persistence", "JavaScript arranges to be run again", Severity.HIGH, _BLOCK,
        "What starts by itself goes on after the skill is done or removed.",
        "Do the work when the skill is called.",
    ),
    Rule(
        "js_writes_settings", "JavaScript writes into settings of the shell, the system, or an agent", Severity.MEDIUM,
        _FLAG,
        "Such settings outlive the skill and change what other programs do.",
        "Say in SKILL.md what is changed, and ask the person first.",
    ),
    Rule(
        "js_writes_agent", "JavaScript writes an agent's configuration or memory below the home folder", Severity.MEDIUM,
        _FLAG,
        "What stands there steers every later session of the agent, with or without this skill.",
        "Show the change to the person and let them make it.",
    ),
    Rule(
        "js_writes_agent_unasked", "JavaScript writes an agent's configuration, and the skill's text does not say so",
        Severity.HIGH, _BLOCK,
        "What stands there steers every later session of the agent; nobody who reads the skill would expect it.",
        "Say so in SKILL.md, show the change to the person and let them make it.",
    ),
    Rule(
        "js_writes_start", "JavaScript writes where something starts by itself", Severity.MEDIUM, _FLAG,
        "What is started by the system, a shell or Git goes on running when the skill is gone.",
        "Say in SKILL.md what is installed where, ask first, and offer to remove it.",
    ),
    Rule(
        "js_writes_start_unasked", "JavaScript writes where something starts, and the skill's text does not say so",
        Severity.HIGH, _BLOCK,
        "A skill that quietly makes itself permanent is what malware does; the documentation does not mention it.",
        "Say in SKILL.md what is installed where, ask first, and offer to remove it.",
    ),
    Rule(
        "js_mining", "JavaScript computes crypto-currency for somebody", Severity.HIGH, _BLOCK,
        "It uses the machine of whoever runs the skill for somebody else's gain.",
        "Remove it.",
    ),
    Rule(
        "js_destruction", "JavaScript deletes a home folder or the system", Severity.CRITICAL, _BLOCK,
        "Everything that the person has is below it.",
        "Delete only what the skill has made, below a folder of its own.",
    ),
    Rule(
        "install_script", "a package of the skill runs a script when it is installed", Severity.MEDIUM, _FLAG,
        "Such scripts run before anybody has looked at them.",
        "Remove the script, or say what it is for.",
    ),
    Rule(
        "malicious_install_script", "a script that runs on installation attacks", Severity.CRITICAL, _BLOCK,
        "Installing is enough to be attacked.",
        "Remove the script.",
    ),
)  # fmt: skip

RULES: Final = {rule.id: rule for rule in _ALL}
