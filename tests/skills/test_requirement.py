"""A requirement names a package and versions; whatever would fetch from elsewhere is refused where it was written."""

from __future__ import annotations

import pytest
from skillyard.skills.errors import RequirementError
from skillyard.skills.requirement import npm_requirement, python_package
from skillyard.skills.skill import Ecosystem, Origin

ORIGIN = Origin("requirements.txt", 3, None)


@pytest.mark.parametrize(
    ("text", "name", "requirement"),
    [
        ("pandas", "pandas", "pandas"),
        ("Scikit_Learn>=1.2", "scikit-learn", "scikit-learn>=1.2"),
        ("requests[security] >= 2 , < 3", "requests", "requests[security]<3,>=2"),
        ("numpy==1.26.4", "numpy", "numpy==1.26.4"),
        ('tomli; python_version < "3.11"', "tomli", 'tomli; python_version < "3.11"'),
        ("zope.interface~=6.0", "zope-interface", "zope-interface~=6.0"),
    ],
)
def test_python_requirements_get_canonical_names(text, name, requirement):
    package = python_package(text, ORIGIN)
    assert (package.ecosystem, package.name, package.requirement) == (Ecosystem.PYPI, name, requirement)
    assert package.origin == ORIGIN


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pkg @ https://host.example/pkg-1.0-py3-none-any.whl", "URL"),
        ("pkg@https://host.example/pkg.whl", "URL"),
        ("pkg[x] @ file:///tmp/pkg", "path"),
        ("pkg @ git+https://host.example/pkg", "version control"),
        ("git+https://host.example/pkg.git", "version control"),
        ("hg+ssh://host.example/pkg", "version control"),
        ("https://host.example/pkg.whl", "URL"),
        ("file:///tmp/pkg", "URL"),
        ("./pkg", "path"),
        ("../pkg", "path"),
        ("/tmp/pkg", "path"),
        ("pkg-1.0-py3-none-any.whl", "path"),
        ("-e .", "editable"),
        ("--editable git+https://host.example/x", "editable"),
        ("--index-url https://host.example/simple", "operator's choice"),
        ("-i https://host.example/simple", "operator's choice"),
        ("--index-url=https://host.example/simple", "operator's choice"),
        ("--extra-index-url https://host.example/simple", "operator's choice"),
        ("--find-links ./wheels", "operator's choice"),
        ("--trusted-host host.example", "operator's choice"),
        ("-r more.txt", "not allowed"),
        ("--pre", "not allowed"),
        ("--no-binary :all:", "not allowed"),
        ("pandas,", "separate requirements by spaces"),
        ("pandas=>2", "PEP 508"),
        ("pan das", "PEP 508"),
        ("${HOME}", "PEP 508"),
        ("", "empty"),
        ("a" * 501, "longer than"),
    ],
)
def test_refused_python_requirements_name_place_and_reason(text, why):
    with pytest.raises(RequirementError, match=why) as caught:
        python_package(text, ORIGIN)
    assert str(caught.value).startswith("requirements.txt:3: ")


def test_credentials_in_a_refused_address_are_not_repeated():
    with pytest.raises(RequirementError) as caught:
        python_package("pkg @ https://me:s3cret@host.example/pkg.whl", ORIGIN)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "requirement"),
    [
        ("lodash", "lodash", "lodash@*"),
        ("lodash@4.17.21", "lodash", "lodash@4.17.21"),
        ("@scope/pkg", "@scope/pkg", "@scope/pkg@*"),
        ("@scope/pkg@^9", "@scope/pkg", "@scope/pkg@^9"),
        ("docx@>=9 <10 || 11.x", "docx", "docx@>=9 <10 || 11.x"),
        ("x@latest", "x", "x@latest"),
    ],
)
def test_npm_requirements_keep_scope_and_range(text, name, requirement):
    package = npm_requirement(text, ORIGIN)
    assert (package.ecosystem, package.name, package.requirement) == (Ecosystem.NPM, name, requirement)


@pytest.mark.parametrize(
    "text",
    [
        "x@git+https://host.example/x.git",
        "x@https://host.example/x.tgz",
        "x@file:../x",
        "x@link:../x",
        "x@workspace:*",
        "x@npm:other@1",
        "x@owner/repository",
        "x@github:owner/repository",
        "owner/repository",
        "git@host.example:x",
        "https://host.example/x.tgz",
        "../x",
        ".hidden",
        "x@1;rm",
        "@/x",
        "x" * 215,
    ],
)
def test_npm_requirements_from_elsewhere_are_refused(text):
    with pytest.raises(RequirementError, match=r"^requirements\.txt:3: "):
        npm_requirement(text, ORIGIN)
