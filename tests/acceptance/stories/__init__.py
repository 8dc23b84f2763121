"""Every story, one module each, by name."""

from __future__ import annotations

from collections.abc import Mapping

from tests.acceptance.stories import (
    approval,
    audit_tamper,
    ban,
    conflict,
    escape,
    failclosed,
    hot_swap,
    known_answers,
    leftovers,
    limits,
    main_job,
    revoke,
    sync,
    sync_chaos,
    tenants,
)
from tests.acceptance.story import Story

STORIES: Mapping[str, Story] = {
    module.STORY.name: module.STORY
    for module in (
        main_job,
        known_answers,
        failclosed,
        approval,
        ban,
        audit_tamper,
        limits,
        leftovers,
        hot_swap,
        escape,
        tenants,
        sync,
        revoke,
        conflict,
        sync_chaos,
    )
}
