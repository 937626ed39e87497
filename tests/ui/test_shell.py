"""Navigation, the workspace in the address, refusals and faults."""

import logging

import pytest

from tests.ui.conftest import ROOT, address, go_to
from workbench.errors import LoadError
from workbench.ui import session
from workbench.ui.errors import plain

TITLES = {
    "model": "Model",
    "layers": "Layers",
    "sensitivity": "Sensitivity",
    "plan": "Plan",
    "arena": "Arena",
    "finetune": "Prune and fine-tune",
    "sparse": "Sparse training",
    "quantise": "Quantise",
    "methods": "Methods",
    "compare": "Compare",
    "robustness": "Robustness",
    "ensembles": "Ensembles",
    "export": "Export",
}


def test_every_page_has_its_script():
    assert {path.stem for path in (ROOT / "pages").glob("*.py")} == set(TITLES)


@pytest.mark.parametrize("page", TITLES)
def test_every_page_opens_with_its_title(open_app, page):
    app = open_app(page=page)
    assert [title.value for title in app.title] == [TITLES[page]]
    assert not app.exception
    assert not app.error


def test_the_workspace_stays_in_the_address_on_every_page(open_app):
    app = open_app()
    first = address(app)
    assert len(first) == 22
    for page in TITLES:
        assert address(go_to(app, page)) == first


def test_a_reload_brings_back_the_model(open_app):
    app = open_app()
    app.radio[0].set_value("digits-mlp").run()
    again = open_app(ws=address(app))
    assert again.subheader[0].value == "digits-mlp"
    assert address(again) == address(app)


def test_two_workspaces_do_not_see_each_other(open_app):
    one, other = open_app(), open_app()
    one.radio[0].set_value("digits-mlp").run()
    assert address(one) != address(other)
    assert other.run().subheader[0].value == "fashion-resnet20"


@pytest.mark.parametrize("bad", ["gone", "../../etc/passwd", "A" * 22, "x" * 5000])
def test_an_address_that_names_no_workspace_is_told_and_replaced(open_app, bad):
    app = open_app(ws=bad)
    assert len(app.error) == 1
    assert plain(f"The address names the workspace {bad[:40]}, which is not here.") in (
        app.error[0].value
    )
    assert address(app) != bad
    assert app.subheader[0].value == "fashion-resnet20"
    app.button(key="dismiss").click().run()
    assert not app.error


def test_a_link_beats_the_session(open_app):
    one, other = open_app(), open_app()
    one.radio[0].set_value("digits-mlp").run()
    other.query_params["ws"] = address(one)
    assert other.run().subheader[0].value == "digits-mlp"


def test_a_fault_shows_a_number_and_no_traceback(open_app, monkeypatch, caplog):
    def fail():
        raise ZeroDivisionError("secret detail")

    app = open_app()
    monkeypatch.setattr(session, "model_facts", fail)
    with caplog.at_level(logging.ERROR):
        app.run()
    assert not app.exception
    assert len(app.error) == 1
    shown = app.error[0].value
    assert "Something went wrong on our side" in shown
    assert "secret detail" not in shown
    record = next(record for record in caplog.records if record.name == "workbench.ui")
    assert record.exc_info is not None
    assert str(record.args[0]) in shown


def test_a_refusal_shows_headline_and_hint(open_app, monkeypatch):
    def refuse():
        raise LoadError("conv_1 has 3 * 4 weights.", "Choose [another] file.")

    app = open_app()
    monkeypatch.setattr(session, "model_facts", refuse)
    app.run()
    assert app.error[0].value == ("**conv\\_1 has 3 \\* 4 weights.**\n\nChoose \\[another\\] file.")


def test_the_server_can_be_started_with_another_model(open_app):
    app = open_app(model="digits-mlp")
    assert app.subheader[0].value == "digits-mlp"
    assert not app.error


def test_a_wrong_model_at_the_start_is_told_and_the_default_is_there(open_app):
    app = open_app(model="no/such.safetensors")
    assert "such.safetensors" in app.error[0].value
    assert app.subheader[0].value == "fashion-resnet20"


def test_data_that_do_not_fit_are_told_at_the_start(open_app):
    app = open_app(model="fashion-resnet20", data="digits")
    assert any("digits" in warning.value for warning in [*app.warning, *app.error])
    assert app.subheader[0].value == "fashion-resnet20"
