"""The parts of the model page: what is on the bench, and how to put something else there."""

import streamlit as st

from workbench.errors import WorkbenchError
from workbench.ui import bench, choosing, session
from workbench.ui.errors import callback, guard, plain
from workbench.ui.facts import ModelFacts, sample_choices, sample_line
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, show_job, start_job
from workbench.ui.theme import compact, in_bytes, interval, percent, shape
from workbench.ui.words import explain

MODEL_TYPES = ["safetensors", "pt", "pth"]
DATA_TYPES = ["npz"]
_DETECT = ""


def show_overview() -> None:
    """Name, size and measured accuracy of the model; a placeholder while only torch could tell."""
    facts = session.model_facts()
    ref = session.model_ref()
    st.subheader(plain(ref.name), anchor=False)
    st.caption(_describe(facts, ref.sample))
    for note in session.model_notes():
        st.caption(f":material/info: {plain(note)}")
    columns = st.columns(4)
    if facts is None:
        for column in columns:
            column.skeleton(height=114)
        return
    measured = session.measured_accuracy()
    metrics = (
        (_("Parameters"), compact(facts.num_params), f"{facts.num_params:,}", "parameters"),
        (_("MACs"), compact(facts.macs), _("for one image"), "MACs"),
        (
            _("Test accuracy"),
            percent(measured.accuracy) if measured else "–",
            interval(measured.ci_low, measured.ci_high, measured.samples)
            if measured
            else _("not measured yet"),
            "accuracy",
        ),
        (_("File size"), in_bytes(facts.file_bytes), _("of the weights"), "file size"),
    )
    for column, (label, value, detail, term) in zip(columns, metrics, strict=True):
        column.metric(
            label, value, border=True, height="stretch", delta_description=detail,
            help=explain(term),
        )  # fmt: skip


def measure_accuracy() -> None:
    """Offer to measure the test accuracy where nobody has yet; watch the work."""
    if session.measured_accuracy() is None and session.workspace().data_ref is not None:
        st.button(
            _("Measure the test accuracy"), icon=":material/speed:", on_click=callback(_measure),
            disabled=is_active("evaluate"), help=explain("test split"),
        )  # fmt: skip
        show_job("evaluate")


def _measure() -> None:
    request = session.job_request(key=session.measurement_key())
    start_job("evaluate", _("Test accuracy"), request)


def _describe(facts: ModelFacts | None, sample: str) -> str:
    """The line under the model's name."""
    parts = [sample_line(sample)] if sample else []
    if facts is not None:
        parts.append(
            _("images {shape}, {classes} classes").format(
                shape=shape(facts.input_shape), classes=facts.num_classes
            )
        )
        if facts.data_name:
            parts.append(_("trained on {data}").format(data=plain(facts.data_name)))
    return " · ".join(parts) or _("Being read")


def choose_model() -> None:
    """A sample by one click, or weights of one's own."""
    st.subheader(_("Choose a model"), anchor=False)
    samples, upload = st.tabs([_("Samples"), _("Upload weights")])
    with samples:
        _choose_sample()
    with upload:
        _upload_model()


def _choose_sample() -> None:
    names = sample_choices()
    current = session.model_ref()
    key = f"sample_{bench.key_of(current)}"

    def choose() -> None:
        if name := st.session_state[key]:
            choosing.use_sample_model(name)

    st.radio(
        _("Sample model"), names, captions=[sample_line(name) for name in names],
        index=names.index(current.sample) if current.sample in names else None,
        key=key, on_change=callback(choose), label_visibility="collapsed",
    )  # fmt: skip


def _upload_model() -> None:
    from workbench.architectures import ARCHITECTURES

    titles = {_DETECT: _("Detect from the tensors")}
    titles |= {name: family.title for name, family in ARCHITECTURES.items()}
    with st.form("upload_model", border=False):
        file = st.file_uploader(
            _("Weights"), MODEL_TYPES,
            help=_("A state dict, bare or inside a checkpoint; nothing in the file is executed."),
        )  # fmt: skip
        architecture = st.selectbox(
            _("Architecture"), list(titles), format_func=titles.__getitem__,
            help=_("The family of networks that the weights belong to."),
        )  # fmt: skip
        image_shape = st.text_input(
            _("Image shape"), placeholder=_("automatic"), max_chars=40,
            help=_("Channels, height and width, such as 3 x 32 x 32, where weights do not tell."),
        )  # fmt: skip
        sent = st.form_submit_button(_("Put on the bench"), icon=":material/upload_file:")
    if sent and file is None:
        st.info(_("Choose a file first."), icon=":material/info:")
    elif sent and file is not None:
        with guard():
            choosing.use_uploaded_model(file.name, file.getvalue(), architecture, image_shape)
            st.rerun()


def choose_data() -> None:
    """The images that accuracy is measured on."""
    st.subheader(_("Choose data"), anchor=False)
    samples, upload = st.tabs([_("Samples"), _("Upload images")])
    with samples:
        _choose_sample_data()
    with upload:
        _upload_data()
    _describe_data()


def _choose_sample_data() -> None:
    from workbench.loading import sample_data_names

    names = sample_data_names()
    current = session.workspace().data_ref
    chosen = current.sample if current is not None else ""
    key = f"data_{session.workspace_id()}_{chosen}"

    def choose() -> None:
        if name := st.session_state[key]:
            try:
                choosing.use_sample_data(name)
            finally:
                st.session_state.pop(key, None)

    st.radio(
        _("Sample data"), names, index=names.index(chosen) if chosen in names else None,
        key=key, on_change=callback(choose), label_visibility="collapsed",
    )  # fmt: skip


def _upload_data() -> None:
    with st.form("upload_data", border=False):
        file = st.file_uploader(
            _("Images with labels"), DATA_TYPES,
            help=_("An .npz file with the arrays x_train, y_train, x_test and y_test."),
        )  # fmt: skip
        sent = st.form_submit_button(_("Use these images"), icon=":material/upload_file:")
    if sent and file is None:
        st.info(_("Choose a file first."), icon=":material/info:")
    elif sent and file is not None:
        with guard():
            choosing.use_uploaded_data(file.name, file.getvalue())
            st.rerun()


def _describe_data() -> None:
    """One line on the data on the bench, or why they do not fit the model."""
    try:
        data = session.require_data()
    except WorkbenchError as error:
        st.warning(f"**{plain(error.message)}** {plain(error.hint)}", icon=":material/warning:")
        return
    facts = data.describe()
    st.caption(
        _("{name}: {shape}, {classes} classes, {train:,} training, {test:,} test images").format(
            name=plain(data.name), shape=shape(data.input_shape), classes=data.num_classes,
            train=facts["num_train"], test=facts["num_test"],
        )
    )  # fmt: skip


def choose_device() -> None:
    """Where computations run."""
    titles = {
        "auto": _("Best available"), "cpu": _("CPU"), "cuda": _("CUDA GPU"), "mps": _("Apple GPU"),
    }  # fmt: skip
    names = bench.devices()
    current = session.device()

    def choose() -> None:
        session.remember(device=st.session_state["device"])

    st.segmented_control(
        _("Device"), names, default=current if current in names else "auto", required=True,
        format_func=lambda name: titles.get(name, name), key="device",
        on_change=callback(choose), help=explain("device"),
    )  # fmt: skip
