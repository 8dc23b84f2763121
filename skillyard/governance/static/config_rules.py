"""The rules of what settings do that a skill ships, or has somebody make."""

from __future__ import annotations

from typing import Final

from skillyard.governance.report import Severity, Verdict
from skillyard.governance.static.rule import Rule

_BLOCK, _FLAG = Verdict.BLOCK, Verdict.FLAG

_ALL: Final = (
    Rule(
        "index_redirect", "packages come from an index that anybody could stand in for", Severity.CRITICAL, _BLOCK,
        "Without encryption, without a check of the certificate, or from a bare address, every package is what the network says.",
        "Leave the choice of the index to the installation.",
    ),
    Rule(
        "other_index", "packages come from another index than the configured one", Severity.MEDIUM, _FLAG,
        "Whoever runs the index decides what is installed; an additional one can answer for names of the first.",
        "Leave the choice of the index to the installation, or have its administrator add this one.",
    ),
    Rule(
        "unnamed_index", "packages come from an index or address that the skill's text does not name", Severity.HIGH, _BLOCK,
        "Whoever runs it decides what is installed, and nobody who reads the skill would expect it.",
        "Name it in SKILL.md and say whose it is, or leave the choice of the index to the installation.",
    ),
    Rule(
        "url_install", "a package is installed from an address that nobody vouches for", Severity.CRITICAL, _BLOCK,
        "No index, no version, no advisory and no hash stands between the address and what is run.",
        "Declare a package of an index.",
    ),
    Rule(
        "url_dependency", "a package is installed from an address instead of an index", Severity.MEDIUM, _FLAG,
        "Advisories and locks do not cover it, and what the address serves may change.",
        "Declare a package of an index.",
    ),
    Rule(
        "lookalike_package", "a package has the name of a well-known one but for a slip", Severity.CRITICAL, _BLOCK,
        "Names of this kind are registered for those who mistype, and what they install is the attacker's.",
        "Write the name of the package that is meant.",
    ),
    Rule(
        "lookalike_source", "a well-known package comes from somebody who only looks like its author", Severity.CRITICAL,
        _BLOCK,
        "The name says whose code it is, and the address says otherwise.",
        "Declare the package by its name and version.",
    ),
    Rule(
        "absurd_version", "a dependency has a version as nobody gives it", Severity.HIGH, _BLOCK,
        "A version such as 999 wins over every real one: that is how a stranger's package takes an internal one's place.",
        "Pin the version that is meant, and the index it comes from.",
    ),
    Rule(
        "hook_attack", "a hook or a task that starts by itself attacks", Severity.CRITICAL, _BLOCK,
        "It runs whenever the agent, the editor or Git does something, without being asked for.",
        "Remove it.",
    ),
    Rule(
        "agent_hook", "settings have commands started by themselves", Severity.MEDIUM, _FLAG,
        "Hooks and tasks run whenever the agent, the editor or Git does something, without being asked for.",
        "Say in SKILL.md what is started and when.",
    ),
    Rule(
        "all_tools", "the skill asks for all tools without confirmation", Severity.MEDIUM, _FLAG,
        "A skill that is allowed everything is stopped by nothing.",
        "List the tools and commands that are needed.",
    ),
    Rule(
        "python_start_up", "a file is run at every start of Python", Severity.HIGH, _FLAG,
        "Whatever else runs in that environment starts this code, too.",
        "Import the code where it is needed.",
    ),
    Rule(
        "python_start_up_attack", "a path file runs code at every start of Python", Severity.CRITICAL, _BLOCK,
        "Lines of a .pth file that begin with import are executed by every Python of the environment.",
        "Remove it.",
    ),
    Rule(
        "api_redirect", "settings send the agent's own requests to another host", Severity.HIGH, _FLAG,
        "Whoever runs the host reads every conversation, and the key.",
        "Leave the address of the model's service to the person.",
    ),
    Rule(
        "starts_at_login", "a program is started at every login", Severity.MEDIUM, _FLAG,
        "It goes on after the skill is done or removed.",
        "Say in SKILL.md what is started and how it is removed.",
    ),
)  # fmt: skip

RULES: Final = {rule.id: rule for rule in _ALL}
