"""The wheel alone serves every page: no checkout, any working folder."""

import os
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.browser import rig

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds the unpacked wheel; its parent knows nothing of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, rig.ROOT],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


def test_the_wheel_holds_what_the_pages_need_and_no_scripts(installed):
    package = installed / "workbench"
    for needed in (
        "_pages/model.py",
        "_sample_models/weights/fashion-resnet20.safetensors",
        "_sample_models/data/fashion-mnist.npz",
        "_sample_models/NOTICE.md",
        "ui/.streamlit/config.toml",
        "py.typed",
    ):
        assert (package / needed).is_file(), needed
    checkout = {
        path.relative_to(rig.ROOT / "sample_models").as_posix()
        for folder in ("weights", "cards", "curves", "data", "methods")
        for path in (rig.ROOT / "sample_models" / folder).glob("*.*")
    }
    shipped = {
        path.relative_to(package / "_sample_models").as_posix()
        for path in (package / "_sample_models").rglob("*.*")
    }
    assert shipped - {"NOTICE.md"} == checkout
    assets = {path.name for path in (rig.ROOT / "workbench" / "ui").rglob("*.[cj]s*")}
    assert assets <= {path.name for path in (package / "ui").rglob("*")}


def test_the_installed_command_serves_a_deep_link(installed, start_server, tmp_path, page):
    (program,) = (installed / "bin").glob("workbench*")
    server = start_server(
        home=tmp_path / "home",
        cwd=tmp_path,
        command=(str(program), "--port"),
        environment={"PYTHONPATH": str(installed)},
    )
    where = subprocess.run(
        [sys.executable, "-c", "import workbench; print(workbench.__file__)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(installed))
    for path in ("/layers", "/"):
        page.goto(server.url + path)
        rig.settled(page)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        rig.has_no_error_box(page)
    assert "Traceback" not in server.log.read_text()
