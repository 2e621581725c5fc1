"""`deblurzoo compare`: print one table per evaluation protocol, with the evaluated runs and the papers' values."""

import argparse
import tempfile
from pathlib import Path

from deblurzoo.commands.options import add_project, add_to_wandb, output
from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import add_trust, trust
from deblurzoo.files import files_of, require_output, user_path, write_atomically


def main(arguments: list[str]) -> None:
    """Run `deblurzoo compare`."""
    parser = argparse.ArgumentParser(
        "deblurzoo compare", description="Compare evaluated runs with each other and with the papers."
    )
    parser.add_argument(
        "runs", nargs="*", type=user_path, metavar="RUN", help="run folder, folder that contains runs, or results.json"
    )
    add_project(parser, "--wandb", "also compare the runs of a W&B project")
    parser.add_argument(
        "--csv", type=output("--csv", is_folder=False), metavar="FILE", help="also write all values as CSV"
    )
    parser.add_argument(
        "--markdown",
        type=output("--markdown", is_folder=False),
        metavar="FILE",
        help="also write the tables as Markdown",
    )
    parser.add_argument(
        "--html",
        type=output("--html", is_folder=False),
        metavar="FILE",
        help="also write an HTML page with curves and pictures",
    )
    parser.add_argument(
        "--latex",
        type=output("--latex", is_folder=False),
        metavar="FILE",
        help="also write the tables as LaTeX (booktabs; best value bold)",
    )
    views = parser.add_mutually_exclusive_group()
    views.add_argument(
        "--by-data",
        metavar="METRIC",
        help="one table of a metric, such as psnr: a row per network, a column per data set",
    )
    views.add_argument(
        "--by-blur",
        action="store_true",
        help="tables and CSV with the gain by length of the blur: a row per network and range of lengths",
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="also tables of published results on the same data sets, one for each protocol",
    )
    parser.add_argument("--inline", action="store_true", help="embed the pictures in the HTML page")
    add_to_wandb(parser, "also log each evaluation, and the HTML page, to W&B")
    add_project(parser, "--wandb-report", "also report the runs in this W&B project")
    add_trust(parser)
    options = parser.parse_args(arguments)
    trust(options.trust)
    if not options.runs and not options.wandb:
        parser.error("no run is given: add RUN or --wandb ENTITY/PROJECT")
    if options.html and not options.inline:
        require_output(folder := files_of(options.html), f"--html {options.html}: {folder}")
    with tempfile.TemporaryDirectory() as fetched:
        if options.wandb:
            from deblurzoo.reports.wandb import fetch_runs  # deferred: W&B's library takes seconds to import

            fetch_runs(options.wandb, Path(fetched))
            options.runs.append(Path(fetched))
        run(options)


def run(options: argparse.Namespace) -> None:
    """Print the tables of all evaluations in `options.runs` and their subfolders, and write the requested files."""
    # Deferred: OpenCV and pydantic take a second to import, and --help does not need them.
    from deblurzoo.reports.gather import gather
    from deblurzoo.reports.table import as_csv, as_csv_by_blur, as_markdown, by_conditions, print_table
    from deblurzoo.reports.views import as_latex, by_blur, by_data, published, with_published

    if options.wandb_report:
        try:
            from deblurzoo.reports.wandb_report import report, saved  # needs an extra
        except ImportError as error:
            raise DeblurzooError(f"--wandb-report: {error}: pip install 'deblurzoo[report]'") from error
    files, failed = gather(options.runs)
    found = list(files.values())
    new_report = report(options.wandb_report, files, failed) if options.wandb_report else None
    view = by_blur if options.by_blur else by_data(options.by_data) if options.by_data else by_conditions
    view = with_published(view) if options.published else view
    print_table(found, failed, view)
    if not found and all(failure.state == "failed" for failure in failed):
        raise DeblurzooError("nothing to compare: no run has a result that can be read; see the reasons above")
    if options.csv:
        write_atomically(options.csv, (as_csv_by_blur if options.by_blur else as_csv)(found, failed).encode())
    if options.markdown:
        write_atomically(options.markdown, as_markdown(found, failed, view).encode())
    if options.latex:
        write_atomically(options.latex, as_latex(found, view).encode())
    if options.html:
        from deblurzoo.reports.page import Evaluation, write_page  # deferred: plotly takes a while to import

        evaluations = [Evaluation.of(file, results) for file, results in files.items()]
        tables = published(found) if options.published else []
        write_page(evaluations, failed, options.html, options.inline, tables)
        print(f"page: {options.html}")
    if options.to_wandb:
        from deblurzoo.reports.wandb import send_page, send_run  # deferred, see above

        for file in files:
            send_run(file, options.to_wandb)
        if options.html:
            with tempfile.TemporaryDirectory() as folder:
                page = Path(folder) / options.html.name
                write_page(evaluations, failed, page, inline_pictures=True, published=tables)
                send_page(page, options.to_wandb, list(files), options.html.parent)
    if new_report:
        print(f"report: {saved(new_report)}")
