"""The rules of the house: what may import what, and what the code may not hold."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "workbench"
PAGES = ROOT / "pages"

# Imports go to the same row or to a later one, never back; a module not listed fails the test.
ROWS = (
    {"__init__"},
    {"__main__", "worker"},
    {"cli"},
    {"pages"},
    {"ui"},
    {
        "arena", "curve_cache", "exact_points", "experiment", "export", "fast_points", "finetune",
        "floor", "jobs", "latency_table", "plain_points", "plan_tasks", "quick_check",
        "quick_replay", "ray_points", "refine", "reopen", "run_export", "saving", "sensitivity",
        "speed_tasks", "speedup", "staircase", "store", "sweep", "tasks", "thin_onnx", "trials",
        "catalogue", "catalogue_table", "catalogue_tasks", "sparse_training", "sparse_tasks",
        "training", "ensembles",
        "ensemble_tasks", "robustness", "robustness_tasks", "replacement", "replacement_tasks",
        "trying", "cost_trade_off", "class_tasks", "outputs",
        "compression", "replacing",
    },
    {
        "accounting", "allocation", "criteria", "curves", "distributions", "encodings", "latency",
        "metrics", "pareto", "prediction", "prune", "reconstruct", "repair", "sampling", "scoring",
        "tape",
        "surgery", "unit_scores", "gathering", "class_metrics", "paired", "stages", "freezing",
    },
    {
        "architectures", "augment", "coupling", "cutting", "data", "data_checks", "device",
        "finetune_settings", "granularity", "groups", "layers", "loading", "macs", "model",
        "patterns", "plan", "plan_file", "thin", "weight_scan", "corruptions", "evidence",
        "shared", "coupled", "subblocks",
    },
    {"errors", "method", "names", "progress", "settings_reading"},
)  # fmt: skip
ROW = {name: number for number, row in enumerate(ROWS) for name in row}

MAX_LINES = 400
MAX_TEST_LINES = 600  # a file of tests is a list: long ones read as easily as short ones
# Longer files, each with its reason.
LONG_FILES = {
    "tests/golden/refusals/models.py": "a table, one entry a refused file",
    "tests/whole/test_export.py": "an exported folder, every file in it checked",
}


def python_files(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def room(module: str) -> str:
    """The row's name for a module: ``workbench.criteria.random`` is in ``criteria``."""
    if module.startswith("pages"):
        return "pages"
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


class Imports(ast.NodeVisitor):
    """Every import of a file: (imported module, imported name or "", whether at import time)."""

    def __init__(self, tree: ast.AST) -> None:
        self.found: list[tuple[str, str, bool]] = []
        self._lazy = 0
        self.visit(tree)

    def visit_FunctionDef(self, node):
        self._lazy += 1
        self.generic_visit(node)
        self._lazy -= 1

    def visit_Lambda(self, node):
        self.visit_FunctionDef(node)

    def visit_If(self, node):
        checking = "TYPE_CHECKING" in ast.unparse(node.test)
        self._lazy += checking
        for child in node.body:
            self.visit(child)
        self._lazy -= checking
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node):
        self.found += [(alias.name, "", not self._lazy) for alias in node.names]

    def visit_ImportFrom(self, node):
        assert not node.level, "relative imports are not used"
        self.found += [(node.module, alias.name, not self._lazy) for alias in node.names]


def imports(path: Path) -> list[tuple[str, str, bool]]:
    return Imports(ast.parse(path.read_text("utf-8"))).found


MODULES = {module_name(path): path for path in python_files(PACKAGE, PAGES)}


def own_imports(path: Path) -> set[tuple[str, bool]]:
    """The project's own modules that a file imports, and whether at import time."""
    found = set()
    for module, name, eager in imports(path):
        whole = f"{module}.{name}" if name else module
        target = whole if whole in MODULES else module
        if target.split(".")[0] == "workbench":
            found.add((target, eager))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    assert room(module) in ROW, f"{module} has no row in tests/unit/test_house.py: give it one"
    wrong = [
        target
        for target, _ in own_imports(MODULES[module])
        if target != "workbench" and ROW.get(room(target), -1) < ROW[room(module)]
    ]
    assert not wrong, f"{module} imports {wrong}, which stand(s) before it on the road"


def test_no_import_cycles():
    graph = {
        module: {target for target, eager in own_imports(path) if eager and target != module}
        for module, path in MODULES.items()
    }
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for target in graph.get(module, ()):
                walk(target, (*trail, module))
            done.add(module)

    for module in graph:
        walk(module, ())


def test_only_pages_and_ui_import_streamlit():
    allowed = {"workbench.cli"}  # its verb `run` starts Streamlit; checked below to do so lazily
    importers = {
        module
        for module, path in MODULES.items()
        if any(target.split(".")[0] == "streamlit" for target, _, _ in imports(path))
    }
    assert {name for name in importers if room(name) not in {"ui", "pages"}} <= allowed
    assert any(room(name) == "pages" for name in importers), "the test sees no page at all"


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a statement."""
    code = f"import sys\n{statement}\nprint('\\n'.join({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import workbench",
        "import workbench.errors, workbench.progress",
        "import workbench.plan, workbench.plan_file, workbench.accounting",
        "import workbench.cli",
    ],
)
def test_light_imports_stay_light(statement):
    heavy = {"torch", "streamlit", "pandas", "plotly", "onnx", "sqlalchemy", "sklearn"}
    assert not loaded_after(statement) & heavy


def test_help_loads_neither_torch_nor_streamlit():
    statement = (
        "import contextlib, io\n"
        "from workbench import cli\n"
        "with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):\n"
        "    cli.main(['--help'])\n"
        "assert 'sensitivity' in text.getvalue()"
    )
    assert not loaded_after(statement) & {"torch", "streamlit", "pandas"}


def test_streamlit_collects_no_garbage_after_a_click_and_sends_no_statistics():
    config = tomllib.loads((PACKAGE / "ui" / ".streamlit" / "config.toml").read_text("utf-8"))
    assert config["runner"]["postScriptGC"] is False
    assert config["browser"]["gatherUsageStats"] is False
    assert config["server"]["address"] == "127.0.0.1"


def tracked_files() -> list[Path]:
    """The files that belong to the project; all that are not hidden where there is no git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split("\0")  # fmt: skip
        return [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        return [path for path in ROOT.rglob("*") if path.is_file() and "/." not in str(path)]


def test_no_file_is_too_long_without_a_reason():
    counts = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in tracked_files()
        if path.suffix in {".py", ".js", ".css"}
    }
    long = {
        name
        for name, count in counts.items()
        if count > (MAX_TEST_LINES if name.startswith("tests/") else MAX_LINES)
    }
    assert long == set(LONG_FILES)


def test_no_registry_is_named():
    hosts = re.compile(
        "|".join(
            re.escape(".".join(parts))
            for parts in (
                ("pypi", "org"),
                ("pythonhosted", "org"),
                ("download", "pytorch", "org"),
                ("npmjs", "org"),
                ("deb", "debian", "org"),
            )
        )
    )
    assert hosts.search("https://" + "pypi" + ".org/simple")
    naming = []
    for path in tracked_files():
        text = path.read_bytes()[:1_000_000].decode("utf-8", "ignore")
        if hosts.search(text):
            naming.append(path.relative_to(ROOT).as_posix())
    assert not naming


def test_the_pinned_versions_hold_no_accelerator_packages_and_cover_what_is_declared():
    pins = {
        line.split("==")[0].lower().replace("_", "-"): line.split("==")[1]
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line
    }
    assert pins["torch"] == "2.13.0"
    assert not [name for name in pins if re.match(r"nvidia|cuda|triton|.*-gpu$", name)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.match(r"[\w.-]+", line)[0].lower() for line in declared}
    assert names <= set(pins)


# --- words on the screen go through _() ---

# Calls whose first argument a person reads, whatever they are called on.
SPEAKING = {
    "area_chart", "badge", "button", "caption", "checkbox", "color_picker", "data_editor",
    "download_button", "expander", "feedback", "file_uploader", "form_submit_button", "header",
    "latex", "link_button", "markdown", "metric", "multiselect", "number_input", "pills",
    "popover", "progress", "radio", "segmented_control", "select_slider", "selectbox", "slider",
    "spinner", "status", "subheader", "text_area", "text_input", "title", "toast", "toggle",
}  # fmt: skip
# The same for names that other objects have too: only where they are called on st itself.
SPEAKING_ON_ST = {"write", "text", "info", "warning", "error", "success", "dialog", "tabs"}
# Keyword arguments that a person reads, in any call.
SPEAKING_KEYWORDS = {
    "help", "label", "page_title", "placeholder", "text", "title", "title_text", "tooltip",
    "xaxis_title", "yaxis_title",
}  # fmt: skip
NO_WORDS = re.compile(r"<[^>]*>|:[\w/-]+:|&\w+;|%\{[^}]*\}|[^A-Za-z]")


def spoken_literals(tree: ast.AST) -> list[str]:
    """Words that reach the screen without _(): ``line: text``."""
    found = []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        spoken = [word.value for word in call.keywords if word.arg in SPEAKING_KEYWORDS]
        if isinstance(call.func, ast.Attribute) and call.args:
            on_st = isinstance(call.func.value, ast.Name) and call.func.value.id == "st"
            if call.func.attr in SPEAKING or (on_st and call.func.attr in SPEAKING_ON_ST):
                spoken.append(call.args[0])
        for argument in spoken:
            found += [
                f"{argument.lineno}: {text}" for text in literals(argument) if has_words(text)
            ]
    return found


def literals(node: ast.AST) -> list[str]:
    """String constants of an argument that no call wraps."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.Constant)]
    if isinstance(node, ast.BinOp):
        return literals(node.left) + literals(node.right)
    if isinstance(node, ast.IfExp):
        return literals(node.body) + literals(node.orelse)
    if isinstance(node, ast.List | ast.Tuple):
        return [text for element in node.elts for text in literals(element)]
    return []


def has_words(text: str) -> bool:
    """Whether anything is left to translate without markup, icons and format fields."""
    if "<style" in text or text.startswith("#"):
        return False
    return len(NO_WORDS.sub("", text)) > 1


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('st.title("Layers")', 1),
        ('st.title(_("Layers"))', 0),
        ('st.write(f"{n} layers")', 1),
        ('st.write(_("{n} layers").format(n=n))', 0),
        ('column.metric("MACs", value)', 1),
        ('st.tabs(["One", _("Two")])', 1),
        ('st.button(_("Go"), help="Starts.")', 1),
        ('st.markdown(f":material/check: {name}")', 0),
        ('file.write("Layers")', 0),
    ],
)
def test_the_search_for_untranslated_words_finds_them(source, count):
    assert len(spoken_literals(ast.parse(source))) == count


@pytest.mark.parametrize("path", python_files(PACKAGE / "ui", PAGES), ids=module_name)
def test_words_on_the_screen_can_be_translated(path):
    assert not spoken_literals(ast.parse(path.read_text("utf-8")))
