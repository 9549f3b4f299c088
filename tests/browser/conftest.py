"""The running app, a browser, and visitors who must neither phone out nor complain."""

import pytest

from tests.helpers.browser_visitor import Visitor, chromium_seeing, write_film
from tests.helpers.running_app import running_app


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    return tmp_path_factory.mktemp("gradio")


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("log") / "app.log"


@pytest.fixture(scope="module")
def url(uploads, log):
    """The running app's address."""
    with running_app(uploads, log) as address:
        yield address


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    film = tmp_path_factory.mktemp("camera") / "film.y4m"
    write_film(film)
    with chromium_seeing(film) as browser:
        yield browser


@pytest.fixture
def visit(chromium, url):
    """Opens pages; afterwards none of them may have phoned out or complained."""
    visitors = []

    def enter(**options):
        visitors.append(Visitor(chromium, url, **options))
        return visitors[-1]

    yield enter
    for visitor in visitors:
        visitor.context.close()
    assert [visitor.outside for visitor in visitors] == [[] for _ in visitors]
    assert [visitor.errors for visitor in visitors] == [[] for _ in visitors]
