"""May it run: advisories, findings, verdicts, package rules, agents and their maturity, decisions, approvals, audit.

Belongs here: everything that turns facts about a skill into Allow, Hold or Deny, and the record of having done so.
Does not belong here: starting anything, and HTTP. I/O: the database and the advisory index; ``policy`` is pure.
"""
