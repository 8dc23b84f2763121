"""The rules of what commands do, wherever commands are written."""

from __future__ import annotations

from typing import Final

from skillyard.governance.report import Severity, Verdict
from skillyard.governance.static.rule import Rule

_BLOCK, _FLAG = Verdict.BLOCK, Verdict.FLAG
_CRITICAL, _HIGH, _MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM

_ALL: Final = (
    Rule(
        "download_execute", "a command runs what it has just downloaded", _CRITICAL, _BLOCK,
        "Whoever controls the address decides what runs here, today and after every review.",
        "Ship the code with the skill or declare a package; a vendor's installer belongs into the documentation.",
    ),
    Rule(
        "vendor_installer", "an installer is downloaded and run", _MEDIUM, _FLAG,
        "What the address serves runs unread, and may be something else tomorrow.",
        "Declare a package instead, or pin the release and compare its hash before it runs.",
    ),
    Rule(
        "decode_execute", "a command decodes something and runs it", _CRITICAL, _BLOCK,
        "Encoding hides from a reviewer what is run; honest scripts are written in plain text.",
        "Write the commands out.",
    ),
    Rule(
        "reverse_shell", "a command hands a shell to somebody else", _CRITICAL, _BLOCK,
        "Whoever listens at the other end can do what the person at this machine can.",
        "Remove it. No skill needs it.",
    ),
    Rule(
        "persistence", "a command arranges to be run again", _HIGH, _BLOCK,
        "What starts by itself goes on after the skill is done or removed, and nobody looks at it.",
        "Do the work when the skill is called; let the person install schedules and services.",
    ),
    Rule(
        "starts_again", "a command changes what is started by itself", _MEDIUM, _FLAG,
        "Schedules, units, hooks and start-up files outlive the skill.",
        "Say in SKILL.md what is installed and how it is removed, and ask the person first.",
    ),
    Rule(
        "grants_access", "a command gives somebody lasting access to this machine", _CRITICAL, _BLOCK,
        "A key, a set-uid shell or free sudo stays open for whoever holds it.",
        "Remove it; access is given by the machine's owner.",
    ),
    Rule(
        "widens_access", "a command widens who may do what on this machine", _HIGH, _FLAG,
        "Rights that a skill gives itself are there for everything else that runs, too.",
        "Leave rights to the person, or name the exact command that needs them.",
    ),
    Rule(
        "command_replaced", "a command is replaced by a stand-in that sends or records what it sees", _CRITICAL, _BLOCK,
        "Whoever types the command next is served by the stand-in, with passwords and all.",
        "Give the skill's command a name of its own.",
    ),
    Rule(
        "data_executed", "a command runs what is kept as data", _HIGH, _BLOCK,
        "Programs are kept as pictures, logs or tables for nobody to look at them.",
        "Ship the script as a script.",
    ),
    Rule(
        "agent_takeover_command", "a command loosens an agent's permissions or plants instructions in it", _CRITICAL, _BLOCK,
        "What stands in the agent's settings or memory is obeyed in every later conversation.",
        "Leave settings and memory to the person.",
    ),
    Rule(
        "agent_settings", "a command writes into the settings, memory or skills of an agent", _MEDIUM, _FLAG,
        "Such settings outlive the skill and change what the agent does.",
        "Say in SKILL.md what is changed, and ask the person first.",
    ),
    Rule(
        "credential_theft", "a command sends credentials or other secrets away", _CRITICAL, _BLOCK,
        "Keys, tokens, browser data or the environment leave this machine.",
        "Remove it. A service that needs a token gets that token alone, by its own documented way.",
    ),
    Rule(
        "host_beacon", "a command reports about this machine", _MEDIUM, _FLAG,
        "Names of users and machines help an attacker to choose; no skill needs to send them unasked.",
        "Remove it, or say in SKILL.md what is sent where.",
    ),
    Rule(
        "dns_exfiltration", "a command carries data out in names that it looks up", _CRITICAL, _BLOCK,
        "Look-ups pass most walls; a secret as part of a name reaches the owner of the domain.",
        "Remove it.",
    ),
    Rule(
        "destruction", "a command destroys what belongs to the person", _CRITICAL, _BLOCK,
        "It deletes or overwrites a home folder, a disk, the system or its backups.",
        "Delete only what the skill has made, below a folder of its own.",
    ),
    Rule(
        "dangerous_deletion", "a command that destroys much is named", _HIGH, _FLAG,
        "A mistake in its argument costs somebody their data.",
        "Let the person confirm it, and check the target before.",
    ),
    Rule(
        "covers_tracks", "a command removes traces of what was done", _HIGH, _FLAG,
        "Histories and logs are what one looks at after something went wrong.",
        "Leave them alone.",
    ),
    Rule(
        "security_off", "a command switches off protection of this machine", _HIGH, _FLAG,
        "Without it, everything else that runs here is less safe, too.",
        "Name the exact exception that is needed, and let the person make it.",
    ),
    Rule(
        "protection_removed", "a command disables the malware scanner", _CRITICAL, _BLOCK,
        "Only what a scanner would find has to have it switched off.",
        "Remove it.",
    ),
    Rule(
        "hidden_execution", "a program is started so that nobody sees it", _HIGH, _BLOCK,
        "A hidden window or a program with a hidden name in a temporary folder is made not to be noticed.",
        "Run it in the foreground, from the skill's own folder.",
    ),
    Rule(
        "hidden_path", "a program with a hidden name runs from a temporary folder", _MEDIUM, _FLAG,
        "Programs live there that should not be noticed.",
        "Use a folder of the skill's own.",
    ),
    Rule(
        "crypto_miner", "a command computes coins for somebody", _HIGH, _BLOCK,
        "The person pays for the power, and somebody else gets the coins.",
        "Remove it.",
    ),
    Rule(
        "cloud_metadata", "the metadata service of the cloud is asked for credentials", _HIGH, _FLAG,
        "It answers with the machine's own credentials, which open more than the skill should.",
        "Use the provider's library and the role that the person has chosen.",
    ),
    Rule(
        "lateral_movement", "a command goes on to other machines or out of a container", _CRITICAL, _BLOCK,
        "It uses the person's keys, or the container engine, to reach what the skill was never given.",
        "Remove it.",
    ),
)  # fmt: skip

RULES: Final = {rule.id: rule for rule in _ALL}
