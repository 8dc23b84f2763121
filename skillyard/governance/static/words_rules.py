"""The rules of what words ask an agent to do."""

from __future__ import annotations

from typing import Final

from skillyard.governance.report import Severity, Verdict
from skillyard.governance.static.rule import Rule

_BLOCK, _FLAG = Verdict.BLOCK, Verdict.FLAG

_ALL: Final = (
    Rule(
        "prompt_override", "the text tells the agent to drop its instructions", Severity.CRITICAL, _BLOCK,
        "An agent that obeys works for the author of the skill, and no longer for the person.",
        "Remove it. Say what the skill does; it needs no say over other instructions.",
    ),
    Rule(
        "persona_override", "the text gives the agent a character without rules", Severity.HIGH, _BLOCK,
        "Characters without restrictions are the usual way round an agent's rules.",
        "Remove it; a role needs no freedom from rules.",
    ),
    Rule(
        "safety_override", "the text declares the agent's safety rules void", Severity.CRITICAL, _BLOCK,
        "The agent then does what its operator has excluded.",
        "Remove it.",
    ),
    Rule(
        "forged_message", "the text passes itself off as a system message", Severity.CRITICAL, _BLOCK,
        "An agent may take forged frames for orders of its operator.",
        "Remove the tags or markers; write in the skill's own voice.",
    ),
    Rule(
        "message_markers", "the text contains the markers of chat messages", Severity.MEDIUM, _FLAG,
        "Such markers can make an agent take text for an order of its operator.",
        "Put them into a code fence if they are an example, or remove them.",
    ),
    Rule(
        "concealed_action", "the text tells the agent to act behind the person's back", Severity.CRITICAL, _BLOCK,
        "What has to be hidden from the person is not what the person wants.",
        "Remove it; let the agent say what it does.",
    ),
    Rule(
        "unasked_damage", "the text has the agent destroy something without a question", Severity.CRITICAL, _BLOCK,
        "What is gone with its backups is gone, and the person was never asked.",
        "Show what would be destroyed, and ask.",
    ),
    Rule(
        "concealment", "the text tells the agent to keep something from the person", Severity.MEDIUM, _FLAG,
        "A reviewer should know what is not told, and why.",
        "Say why, or remove it.",
    ),
    Rule(
        "data_exfiltration", "the text tells the agent to send secrets or conversations away", Severity.CRITICAL, _BLOCK,
        "The agent itself becomes the thief: it can read what the person can.",
        "Remove it. A service gets what it needs for the person's request, and nothing else.",
    ),
    Rule(
        "secret_gathering", "the text tells the agent to gather secrets", Severity.HIGH, _FLAG,
        "Secrets that were read may end in answers, files and requests.",
        "Name the one setting that is needed, and never its value.",
    ),
    Rule(
        "remote_instructions", "the text tells the agent to follow what an address serves", Severity.HIGH, _FLAG,
        "Whoever controls the address gives the agent its orders, after every review.",
        "Ship the instructions with the skill.",
    ),
    Rule(
        "untrusted_instructions", "the text tells the agent to follow what an anonymous address serves",
        Severity.CRITICAL, _BLOCK,
        "Nobody can be held to what stands there, and it can change at any time.",
        "Ship the instructions with the skill.",
    ),
    Rule(
        "approval_bypass", "the text switches confirmations or permissions off", Severity.HIGH, _FLAG,
        "Confirmations are where a person can still say no.",
        "Leave confirmations to the person and the agent's operator.",
    ),
    Rule(
        "security_bypass", "the text asks to switch off protection before something is installed", Severity.CRITICAL,
        _BLOCK,
        "Only what a scanner would find needs it switched off.",
        "Remove it.",
    ),
    Rule(
        "protection_off", "the text asks to switch off protection or to ignore its warnings", Severity.HIGH, _FLAG,
        "Without it, everything else is less safe, too.",
        "Name the exact exception that is needed, and why.",
    ),
    Rule(
        "tool_shadowing", "the text changes how other tools and skills are used", Severity.HIGH, _FLAG,
        "A skill that steers others can add to or redirect what they do.",
        "Describe this skill alone.",
    ),
    Rule(
        "agent_memory", "the text has the agent write into its own instructions or memory", Severity.MEDIUM, _FLAG,
        "What stands there is obeyed in later conversations, long after the skill is gone.",
        "Let the person decide what is remembered, and show it.",
    ),
    Rule(
        "forced_content", "the text has something added to everything that the agent writes", Severity.MEDIUM, _FLAG,
        "Links and addresses that are always added can track, advertise, or carry data out.",
        "Remove it, or say what it is for.",
    ),
    Rule(
        "faked_result", "the text has the agent report a result that is not so", Severity.HIGH, _BLOCK,
        "The person decides on what the agent says; a false all-clear hides damage.",
        "Remove it; let the agent say what it found.",
    ),
    Rule(
        "withheld_finding", "the text has the agent leave out security findings", Severity.MEDIUM, _FLAG,
        "What is left out cannot be acted on.",
        "Say why, or remove it.",
    ),
    Rule(
        "agent_takeover", "the text has the agent loosen its own permissions or instructions for good", Severity.CRITICAL,
        _BLOCK,
        "What stands in the agent's settings or memory is obeyed in every later conversation.",
        "Leave settings and memory to the person.",
    ),
    Rule(
        "payment_redirect", "the text changes who is paid", Severity.CRITICAL, _BLOCK,
        "The money goes to whoever wrote the account's number here.",
        "Remove it.",
    ),
    Rule(
        "hidden_instruction", "an instruction to the agent stands where people do not look", Severity.CRITICAL, _BLOCK,
        "It was hidden from whoever reviews the text, and is read by the agent.",
        "Remove it, or say it openly.",
    ),
)  # fmt: skip

RULES: Final = {rule.id: rule for rule in _ALL}
