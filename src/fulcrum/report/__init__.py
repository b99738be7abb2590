"""One self-contained HTML file for a run, and for a comparison of several.

::

    run_page.py         a run folder -> the page's content        render_run, write_report
    comparison_page.py  several run folders -> the same           render_comparison
    overview_page.py    several run folders on tasks of their own render_overview
    source.py           what a run folder holds, read once
    verdict.py          the sentence at the top: helped, did not, cannot be told
    items.py            the same examples before and after, chosen by seed
    curves.py           `curve.json`: the format that methods write
    plots.py            where lines and points lie
    tables.py           every table of the pages
    card.py             the artifact's README, from Markdown
    text.py             text of models made harmless, figures made readable
    page.py             content -> HTML

A page loads nothing, runs no script, and says so to the browser (Content-Security-Policy).
"""

from fulcrum.report.comparison_page import render_comparison
from fulcrum.report.overview_page import render_overview
from fulcrum.report.run_page import render_run, write_report

__all__ = ["render_comparison", "render_overview", "render_run", "write_report"]
