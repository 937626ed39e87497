"""The command line: ``workbench VERB ...``.

Exit status: 0 done; 2 the request was refused, with one message and one hint; 1 a fault of ours;
130 stopped with Ctrl-C. Nothing heavy is imported until a verb runs.
"""

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Sequence

from workbench.cli.parser import build_parser, parse
from workbench.errors import WorkbenchError

__all__ = ["build_parser", "main"]

DONE, FAULT, REFUSED, STOPPED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status.

    Args:
        argv: The words behind ``workbench``; those of the process if None.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = parse(words)
        if arguments.verb == "run":
            return _run(arguments)
        if arguments.verb == "methods" and not arguments.model:
            from workbench.cli import methods_verb

            methods_verb.tell(arguments)  # without torch
        else:
            from workbench.cli import verbs

            verbs.run_verb(arguments)
        sys.stdout.flush()
    except WorkbenchError as error:
        _say(f"{error.message}\n{error.hint}" if error.hint else error.message)
        return REFUSED
    except KeyboardInterrupt:
        _say("\nStopped.")
        return STOPPED
    except BrokenPipeError:
        # Whoever read standard output is gone, as in ``workbench inspect ... | head``.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        _say(_describe_fault(error, "--debug" in words))
        return FAULT
    return DONE


def _run(arguments: Namespace) -> int:
    """Start the app in this process; it ends with the process."""
    from workbench.cli import app

    command = app.prepare(arguments)
    from streamlit.web import cli  # noqa: TID251 - the verb that starts the pages

    cli.main(command, prog_name="workbench", standalone_mode=False)
    return DONE


def _describe_fault(error: Exception, debug: bool) -> str:
    if debug:
        return "".join(traceback.format_exception(error)).rstrip()
    text = (str(error).strip() or "no message").splitlines()[0]
    return (
        f"The workbench failed: {type(error).__name__}: {text}\n"
        "This is a fault of the workbench. Run the command again with --debug for the traceback."
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
